import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { Agent, request, type IncomingMessage } from 'node:http'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { decodeJwt } from 'jose'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { writeAgain } from '../../db/engines/write-again.ts'
import { openDatabase } from '../../db/open-database.ts'
import { formatUuid } from '../../src/protocol/secrets.ts'
import { commandLine } from '../helpers/cli.ts'
import { onSqlite, postgresEnv } from '../helpers/engines.ts'
import { freePort } from '../helpers/free-port.ts'
import { runJob } from '../helpers/run-job.ts'
import { isOAuthError, startServer, type TestServer } from '../helpers/server.ts'
import { skipSmallDisk, smallDisk } from '../helpers/small-disk.ts'

type Asked = ReadonlyMap<string, number>

/** A server with a user's session, and what can be asked of it while something is broken. */
async function openWorld(t: Test) {
  const server = await startServer(t, onSqlite)
  const client = await server.client('web')
  const admin = await server.client('ops', { is_admin: 1 })
  const user = await server.user()
  let { refresh_token } = await server.logIn(client, user)
  const bearer = async () => {
    const response = await server.post('/token', { grant_type: 'client_credentials', ...admin.form })
    return `Bearer ${response.json().access_token}`
  }
  const authorization = await bearer()

  /**
   * Asks for everything that needs the database. Each answer is the right one or 503, and a token is the
   * right one or none: nothing that makes a client throw its token away, and nothing that a client could take
   * for another's.
   */
  const ask = async (title: string): Promise<Asked> => {
    const asked = new Map<string, number>()
    const send = async (name: string, expected: number, response: ReturnType<TestServer['request']>) => {
      const answer = await response
      asked.set(name, answer.statusCode)
      const full = `${title}: ${name}`
      if (answer.statusCode !== expected) isOAuthError(t, answer, 503, 'temporarily_unavailable', full)
      return answer.statusCode === expected && answer.body !== '' ? answer.json() : undefined
    }
    const { username, password } = user
    const form = (parameters: Record<string, string>) => ({ ...parameters, ...client.form })
    const logIn = await send(
      'log-in',
      200,
      server.post('/token', form({ grant_type: 'password', username, password })),
    )
    if (logIn) t.equal(decodeJwt(logIn.access_token).sub, user.sub)
    const refreshed = await send(
      'refresh',
      200,
      server.post('/token', form({ grant_type: 'refresh_token', refresh_token })),
    )
    if (refreshed) {
      t.equal(decodeJwt(refreshed.access_token).sub, user.sub)
      refresh_token = refreshed.refresh_token
    }
    await send('client_credentials', 200, server.post('/token', form({ grant_type: 'client_credentials' })))
    const active = await send('introspect', 200, server.post('/introspect', form({ token: refresh_token })))
    if (active) t.match(active, { active: true, sub: user.sub })
    const doomed = logIn?.refresh_token
    if (doomed !== undefined) await send('revoke', 200, server.post('/revoke', form({ token: doomed })))
    const revokeAll = {
      method: 'POST',
      url: '/global-token-revocation',
      payload: {
        sub_id: { format: 'iss_sub', iss: 'https://as.example', sub: formatUuid(Buffer.alloc(16, 1)) },
      },
      headers: { authorization },
    } as const
    await send('revoke all of nobody', 404, server.request(revokeAll))
    await send(
      'no token',
      400,
      server.post('/token', form({ grant_type: 'refresh_token', refresh_token: 'x' })),
    )
    return asked
  }
  const allIsWell = async (title: string) => {
    await server.follow()
    await runJob(server, 'asking the database')
    await writeAgain(server.ctx.db)
    t.notOk([...(await ask(title)).values()].includes(503), `${title}: all is well again`)
    t.equal((await server.request({ url: '/health/ready' })).statusCode, 200)
  }
  const raw = (text: string) => sql.raw(text).execute(server.ctx.db.sql)
  return { server, ask, allIsWell, raw }
}

t.test(
  'faults of the database are 503 for who needs it, and over when they are over (invariant 9)',
  async t => {
    const { server, ask, allIsWell, raw } = await openWorld(t)
    const { db } = server.ctx
    const faults: [
      title: string,
      inject: () => Promise<unknown>,
      heal: () => Promise<unknown>,
      away: string[],
    ][] = [
      [
        'it takes no writes',
        () => raw('pragma query_only = on'),
        () => raw('pragma query_only = off'),
        ['log-in', 'refresh'],
      ],
      [
        'the disk is full',
        async () => {
          const { rows } = await sql<{ page_count: number }>`pragma page_count`.execute(db.sql)
          await raw(`pragma max_page_count = ${rows[0]?.page_count}`)
          const fill = (bytes: number) =>
            raw(`insert into replays (id, expires_at) values (randomblob(${bytes}), 1)`)
          // First what large rows need, then small ones, until no page has room.
          for (const bytes of [100_000, 2000, 200])
            for (let isFull = false; !isFull;) {
              await fill(bytes).catch(error => {
                t.equal(error.code, 'SQLITE_FULL')
                isFull = true
              })
            }
        },
        async () => {
          await raw('pragma max_page_count = 1000000000')
          await raw('delete from replays where expires_at = 1')
        },
        ['log-in'],
      ],
    ]
    await allIsWell('before')
    for (const [title, inject, heal, away] of faults) {
      await inject()
      const asked = new Map(await ask(title))
      // A page that is not full yet may take another session.
      for (let i = 0; i < 20 && asked.get('log-in') === 200; i++) {
        for (const [name, status] of await ask(title)) asked.set(name, status)
      }
      for (const name of away) t.equal(asked.get(name), 503, `${title}: ${name}`)
      t.equal((await server.request({ url: '/health/live' })).statusCode, 200, `${title}: live`)
      await t.rejects(writeAgain(db), `${title}: nothing can be written`)
      const ready = await server.request({ url: '/health/ready' })
      isOAuthError(t, ready, 503, 'temporarily_unavailable', `${title}: not ready`)
      await heal()
      await allIsWell(title)
    }
  },
)

t.test(
  'a server with a full disk is not ready, until there is room again',
  { skip: skipSmallDisk },
  async t => {
    const { home, call, start } = commandLine(t)
    await call('db migrate')
    await call('client create --id app --public --grant password --grant refresh_token')
    await call('user create ada --password-stdin', { input: 'correct horse battery' })
    const path = join(home, 'disk')
    mkdirSync(path)
    const disk = smallDisk(path)
    const env = { MINTMARK_DATABASE_URL: `sqlite:${path}/mintmark.sqlite`, MINTMARK_METRICS_PORT: '0' }
    const port = await freePort()
    const child = start(
      ['serve'],
      { ...env, MINTMARK_PORT: String(port), MINTMARK_DRAIN: '0' },
      disk.start(`cp ${home}/db/* .; exec "$@"`),
    )
    t.teardown(() => child.kill('SIGKILL'))
    const url = `http://127.0.0.1:${port}`
    const ready = () =>
      fetch(`${url}/health/ready`).then(
        ({ status }) => status,
        () => undefined,
      )
    const logIn = () =>
      post(url, {
        grant_type: 'password',
        username: 'ada',
        password: 'correct horse battery',
        client_id: 'app',
      })
    while ((await ready()) !== 200) await sleep(20)
    t.equal((await logIn()).status, 200)
    disk.fill(child)
    // Until the log of the database is full, log-ins are still taken.
    while ((await logIn()).status === 200);
    t.equal(await ready(), 503)
    await sleep(1500)
    t.equal(await ready(), 503, 'and so it stays')
    disk.free(child)
    while ((await ready()) !== 200) await sleep(20)
    t.equal((await logIn()).status, 200)
    child.kill('SIGTERM')
    await once(child, 'exit')
    t.equal(child.exitCode, 0)
  },
)

t.test('a PostgreSQL with a full disk is not ready, until there is room again', async t => {
  const server = await startServer(t, await postgresEnv())
  const { db } = server.ctx
  const ready = async () => (await server.request({ url: '/health/ready' })).statusCode
  const run = (text: string) => sql.raw(text).execute(db.sql)
  await run(`create function full_disk() returns trigger language plpgsql as
    $$ begin raise exception 'could not extend file' using errcode = 'disk_full'; end $$`)
  await run('create trigger full_disk before insert on sessions execute function full_disk()')
  await run('create trigger full_disk before insert on replays execute function full_disk()')
  const client = await server.client('web')
  const user = await server.user()
  t.equal(await ready(), 200, 'nobody knows yet')
  await t.rejects(server.logIn(client, user), /503/)
  t.equal(await ready(), 503)
  await t.rejects(writeAgain(db), /could not extend file/)
  t.equal(await ready(), 503)
  await run('drop function full_disk cascade')
  await writeAgain(db)
  t.equal(await ready(), 200)
  t.ok(await server.logIn(client, user))
})

t.test('a page that is corrupted is 503 for who needs it, until it is put back', async t => {
  const { server, ask, allIsWell, raw } = await openWorld(t)
  const { db, config } = server.ctx
  if (config.databaseUrl.engine !== 'sqlite') throw new Error('unreachable: it is embedded')
  const { file } = config.databaseUrl
  const { rows } = await sql<{ rootpage: number; page_size: number }>`
    select rootpage, page_size from sqlite_schema, pragma_page_size where name = 'sessions'`.execute(db.sql)
  const { rootpage = 0, page_size = 0 } = rows[0] ?? {}
  await raw('pragma wal_checkpoint(truncate)')
  const descriptor = openSync(file, 'r+')
  t.teardown(() => closeSync(descriptor))
  const page = Buffer.alloc(page_size)
  readSync(descriptor, page, 0, page_size, (rootpage - 1) * page_size)
  const put = async (bytes: Buffer) => {
    writeSync(descriptor, bytes, 0, page_size, (rootpage - 1) * page_size)
    // A change by another process makes the server read the file anew.
    const other = openDatabase({ engine: 'sqlite', file })
    await sql.raw('update installation set revision = revision + 1').execute(other.sql)
    await other.close()
  }
  await put(Buffer.alloc(page_size, 0xff))
  const asked = await ask('corrupted')
  for (const name of ['log-in', 'refresh', 'introspect']) t.equal(asked.get(name), 503, name)
  t.ok(
    server.log.some(line => JSON.stringify(line).includes('malformed')),
    'the log says so',
  )
  await put(page)
  await allIsWell('put back')
})

t.test(
  'a database file that is moved or replaced is not written to, which nobody would find again',
  async t => {
    const { server, ask } = await openWorld(t)
    const { config } = server.ctx
    if (config.databaseUrl.engine !== 'sqlite') throw new Error('unreachable: it is embedded')
    const { file } = config.databaseUrl
    await runJob(server, 'asking the database')
    renameSync(file, `${file}.moved`)
    await runJob(server, 'asking the database')
    for (const [name, status] of await ask('moved')) t.equal(status, 503, name)
    const last = server.log.filter(({ level }) => level === 60)
    t.match(last, [{ msg: /^the database file was moved, replaced or deleted .*: every request is refused/ }])
    await runJob(server, 'asking the database')
    t.equal(server.log.filter(({ level }) => level === 60).length, 1, 'which is said once')
  },
)

t.test('a root key file that is lost or spoilt after the start changes nothing', async t => {
  const { server, allIsWell, ask } = await openWorld(t)
  const { rootKeyFile } = server.ctx.config
  const text = readFileSync(rootKeyFile)
  for (const [title, spoil] of [
    ['gone', () => rmSync(rootKeyFile)],
    ['garbage', () => writeFileSync(rootKeyFile, 'garbage', { mode: 0o600 })],
    ['another key', () => writeFileSync(rootKeyFile, `${Buffer.alloc(32, 7).toString('base64url')}\n`)],
  ] as const) {
    spoil()
    await allIsWell(title)
  }
  t.match(
    server.log.filter(({ event, level }) => event === 'root_key_file' && level === 50),
    [{ err: /ENOENT|no such file/ }, { err: /is not a root key/ }, { err: /lacks the current key/ }].map(
      ({ err }) => ({ err: { message: err } }),
    ),
    'and the log says each time that it must be put back',
  )
  writeFileSync(rootKeyFile, text)
  await ask('put back')
})

const canLimit = process.platform === 'linux' && spawnSync('prlimit', ['--version']).status === 0

t.test(
  'a server whose process was stopped, or has no file left, goes on as soon as it can',
  { skip: canLimit ? false : 'prlimit is a command of Linux' },
  async t => {
    const { call, serve } = commandLine(t)
    await call('db migrate')
    await call('client create --id app --public --grant password --grant refresh_token')
    await call('user create ada --password-stdin', { input: 'correct horse battery' })
    const { url, process: child } = await serve()
    const kept = new Agent({ keepAlive: true, maxSockets: 1 })
    t.teardown(() => kept.destroy())
    const password = 'correct horse battery'
    const grant = { grant_type: 'password', username: 'ada', password, client_id: 'app' }
    const first = await post(url, grant, kept)
    let token = first.body.refresh_token
    const refresh = async (agent?: Agent) => {
      const form = { grant_type: 'refresh_token', refresh_token: token, client_id: 'app' }
      const { status, body } = await post(url, form, agent)
      token = body.refresh_token
      return status
    }

    child.kill('SIGSTOP')
    const asked = refresh(kept)
    await sleep(1500)
    child.kill('SIGCONT')
    t.equal(await asked, 200, 'what was asked while it was stopped')

    const limit = (files: string) => spawnSync('prlimit', [`--pid=${child.pid}`, `--nofile=${files}`]).status
    const open = readdirSync(`/proc/${child.pid}/fd`).map(Number)
    t.equal(limit(`${Math.max(...open) + 1}:`), 0)
    const others: Socket[] = []
    t.teardown(() => others.forEach(socket => socket.destroy()))
    // Those that there are numbers left for are taken, the next one is not.
    for (let isCut = false; !isCut;) {
      const socket = connect(Number(new URL(url).port), '127.0.0.1').on('error', () => {})
      others.push(socket)
      socket.write('GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n')
      isCut = await new Promise(resolve => {
        socket.once('data', () => resolve(false)).once('close', () => resolve(true))
      })
    }
    t.equal(await refresh(kept), 200, 'whoever is connected is answered')
    t.equal((await post(url, grant, kept)).status, 200, 'log-ins too')
    t.equal(limit(`${Math.max(...open) + 100}:`), 0)
    t.equal(await refresh(), 200, 'and the next one can connect again')
  },
)

/** Posts a form to `/token`, on a connection of its own or a kept one. */
async function post(url: string, form: Record<string, string>, agent: Agent | false = false) {
  const headers = { 'content-type': 'application/x-www-form-urlencoded' }
  const asking = request(`${url}/token`, { method: 'POST', headers, agent })
  asking.end(new URLSearchParams(form).toString())
  const [response] = (await once(asking, 'response')) as [IncomingMessage]
  return { status: response.statusCode, body: JSON.parse(await text(response)) }
}
