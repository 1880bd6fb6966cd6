import { hash } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Kysely } from 'kysely'
import t from 'tap'
import { openDatabase } from '../../db/open-database.ts'
import { commandLine, issuer } from '../helpers/cli.ts'

const api = 'https://api.example'
const password = 'correct horse battery'

/** A server that runs, with a user and a public client. */
async function running(t: Parameters<typeof commandLine>[0]) {
  const mintmark = commandLine(t)
  const server = await mintmark.serve()
  await mintmark.call(`resource create ${api} --scope read write`)
  const clients = `client create --id web --public --grant password refresh_token --resource ${api} --scope read write`
  await mintmark.call(clients)
  await mintmark.call('user create alice --password-stdin', { input: password })
  const logIn = (username = 'alice', client_id = 'web', more: Record<string, string> = {}) =>
    server.post('/token', { grant_type: 'password', client_id, username, password, ...more })
  const refresh = (refresh_token: string, client_id = 'web') =>
    server.post('/token', { grant_type: 'refresh_token', client_id, refresh_token })
  // The server has perhaps looked for the client before it was there.
  await until(async () => (await logIn()).status === 200)
  return { ...mintmark, server, logIn, refresh }
}

/** Waits for what a running server learns within a second; the bound is for slow machines only. */
async function until(isSo: () => Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < 600; attempt++) {
    if (await isSo()) return
    await sleep(50)
  }
  throw new Error('it did not become so')
}

t.test('what a command changes, a running server heeds', async t => {
  const { call, server, logIn, refresh } = await running(t)
  const session = (await logIn()).body

  t.test('a session that is revoked is not refreshed', async t => {
    const { access_token, refresh_token } = (await logIn()).body
    const { sid } = JSON.parse(Buffer.from(access_token.split('.')[1], 'base64url').toString())
    t.match((await call(`session list --id ${sid} --json`)).json(), [
      { sid, username: 'alice', client_id: 'web', state: 'living' },
    ])
    const revoked = await call(`session revoke --id ${sid} --yes`)
    t.match(revoked.stdout, /^Ended 1 session\./)
    t.match(JSON.parse(revoked.stderr), { event: 'session_revoked', sid, reason: 'command' })
    t.match(await refresh(refresh_token), { status: 400, body: { error: 'invalid_grant' } })
    t.match((await call(`session list --id ${sid} --json`)).json(), [])
    t.match((await call(`session list --id ${sid} --ended --json`)).json(), [
      { sid, state: 'revoked (command)' },
    ])
    t.match(await call(`session revoke --id ${sid} --yes`), {
      code: 1,
      stderr: /--ended` shows what became of it/,
    })
    t.match(await refresh(session.refresh_token), { status: 200 }, 'and the other session lives')
  })

  t.test(
    'a client that is disabled is refused, and its sessions have ended when it is enabled again',
    async t => {
      const { refresh_token } = (await logIn()).body
      await call('client disable web')
      await until(async () => (await logIn()).body.error === 'invalid_client')
      t.match(await refresh(refresh_token), { status: 401, body: { error: 'invalid_client' } })
      await call('client enable web')
      await until(async () => (await logIn()).status === 200)
      t.match(await refresh(refresh_token), { status: 400, body: { error: 'invalid_grant' } })
    },
  )

  t.test('a user who is disabled, or has a new password, has no session any more', async t => {
    const { refresh_token } = (await logIn()).body
    await call('user passwd alice --password-stdin', { input: 'another password' })
    t.match(await refresh(refresh_token), { status: 400, body: { error: 'invalid_grant' } })
    t.match(await logIn(), { status: 400, body: { error: 'invalid_grant' } })
    await call('user passwd alice --password-stdin', { input: password })
    const again = (await logIn()).body.refresh_token
    await call('user disable alice')
    t.match(await refresh(again), { status: 400, body: { error: 'invalid_grant' } })
    t.match(await logIn(), { status: 400, body: { error: 'invalid_grant' } })
    await call('user enable alice')
    t.match(await refresh(again), { status: 400, body: { error: 'invalid_grant' } })
    t.match(await logIn(), { status: 200 })
  })

  t.test('a role is in the next token of a session', async t => {
    const { refresh_token } = (await logIn()).body
    await call('user update alice --role editor')
    const { access_token } = (await refresh(refresh_token)).body
    const claims = JSON.parse(Buffer.from(access_token.split('.')[1], 'base64url').toString())
    t.strictSame(claims.roles, ['editor'])
  })

  t.test(
    'a machine has a session again after its client was disabled, and after its sessions were revoked',
    async t => {
      const { client_secret } = (
        await call('client create --id job --grant client_credentials --json')
      ).json()
      const token = () =>
        server.post('/token', { grant_type: 'client_credentials', client_id: 'job', client_secret })
      await until(async () => (await token()).status === 200)
      await call('client disable job')
      await until(async () => (await token()).status === 401)
      await call('client enable job')
      await until(async () => (await token()).status === 200)
      t.match((await call('session list --client job --json')).json(), [
        { client_id: 'job', username: null, sub: null },
      ])
      t.match((await call('session revoke --client job --yes --json')).json(), {
        sessions_revoked: 1,
        client_id: 'job',
      })
      // The epoch was raised, which the server learns within a second.
      await until(async () => (await token()).status === 200)
      t.equal((await call('session list --client job --json')).json().length, 1)
    },
  )

  t.test('a new secret works, and the old one as long as it is kept', async t => {
    const first = (await call('client create --id r --grant client_credentials --json')).json().client_secret
    const status = async (client_secret: string) =>
      (await server.post('/token', { grant_type: 'client_credentials', client_id: 'r', client_secret }))
        .status
    await until(async () => (await status(first)) === 200)
    const second = (await call('client rotate-secret r --keep-old 1h --json')).json().client_secret
    await until(async () => (await status(second)) === 200)
    t.equal(await status(first), 200)
    const third = (await call('client rotate-secret r --json')).json().client_secret
    await until(async () => (await status(third)) === 200)
    t.equal(await status(second), 401)
    t.equal(await status(first), 401)
  })

  t.test('a new resource can be asked for, and one that was deleted cannot', async t => {
    const other = 'https://other.example'
    await call(`resource create ${other} --scope read`)
    await call(`client create --id two --public --grant password --resource ${api} ${other} --scope read`)
    const ask = () => logIn('alice', 'two', { resource: other })
    await until(async () => (await ask()).status === 200)
    await call(`resource delete ${other} --force`)
    await until(async () => (await ask()).status === 400)
    t.match(await ask(), { status: 400, body: { error: 'invalid_target' } })
  })
})

t.test('sessions are listed and revoked by user, by client, by both, or all', async t => {
  const { call, logIn, refresh } = await running(t)
  await call('user create bob --password-stdin', { input: password })
  await call('client create --id app --public --grant password refresh_token')
  await until(async () => (await logIn('alice', 'app')).status === 200)
  await call('session revoke --all --yes')
  t.match((await call('session list')).stdout, 'There is no such session.')
  await until(async () => (await logIn()).status === 200)
  await until(async () => (await logIn('bob', 'app')).status === 200)
  await call('session revoke --all --yes')
  await until(async () => (await call('session list --json')).json().length === 0)

  const all = new Map<string, string>()
  const start = async () => {
    for (const [user, client] of [
      ['alice', 'web'],
      ['alice', 'app'],
      ['bob', 'web'],
      ['bob', 'app'],
    ] as const) {
      await until(async () => {
        const { status, body } = await logIn(user, client)
        all.set(`${user} ${client}`, body.refresh_token)
        return status === 200
      })
    }
  }
  const living = async () => {
    const ids = []
    for (const [name, token] of all) {
      const { status, body } = await refresh(token, name.split(' ')[1])
      if (status === 200) {
        all.set(name, body.refresh_token)
        ids.push(name)
      }
    }
    return ids
  }
  await start()
  t.strictSame(await living(), ['alice web', 'alice app', 'bob web', 'bob app'])
  const listed = (options: string) =>
    call(`session list ${options} --json`).then(outcome => outcome.json().length)
  t.equal(await listed('--user alice'), 2)
  t.equal(await listed('--client web'), 2)
  t.equal(await listed('--user alice --client web'), 1)
  t.match(
    (await call('session list')).stdout,
    /^SID +USER +CLIENT_ID +SINCE +LAST USED +EXPIRES\n([0-9a-f-]{36} +(alice|bob) +(web|app)( +20\d\d-\d\d-\d\d [\d:]{8}Z){3}\n){4}$/,
  )

  t.match(await call('session revoke --user alice'), {
    code: 2,
    stderr: /End 2 sessions of alice\? Nobody is here to ask: add --yes/,
  })
  t.equal((await living()).length, 4, 'without a yes, nothing happens')
  const both = await call('session revoke --user alice --client web --yes')
  t.match(both.stdout, /^Ended 1 session of alice through web\.\n/)
  t.match(JSON.parse(both.stderr), { event: 'session_revoked' })
  t.strictSame(await living(), ['alice app', 'bob web', 'bob app'])
  const { sub } = (await call('user list --json')).json()[0]
  const user = await call(`session revoke --user ${sub} --yes --json`)
  t.match(user.json(), { sessions_revoked: 1, sub })
  t.match(JSON.parse(user.stderr), { event: 'user_revoked', sub })
  t.strictSame(await living(), ['bob web', 'bob app'])
  t.match((await call('session revoke --client app --yes')).stdout, /^Ended 1 session through app\./)
  t.strictSame(await living(), ['bob web'])
  const rest = await call('session revoke --all --yes')
  t.match(rest.stdout, /^Ended 1 session\./)
  t.strictSame(
    rest.stderr
      .trim()
      .split('\n')
      .map(line => JSON.parse(line).client_id)
      .sort(),
    ['app', 'web'],
  )
  t.strictSame(await living(), [])
  t.match(await call('session revoke --user carol --yes'), { code: 1, stderr: /there is no user carol/ })
  t.match(await call('session revoke --client carol --yes'), { code: 1, stderr: /there is no client carol/ })
})

t.test(
  'a backup of a running server is complete, for its owner alone, and never replaces a file',
  async t => {
    const { home, call, run, logIn } = await running(t)
    await logIn()
    const file = join(home, 'backup.sqlite')
    const backup = await run(`db backup ${file} --json`)
    t.match(backup.json(), { file, bytes: statSync(file).size })
    t.equal(statSync(file).mode & 0o777, 0o600)
    t.match(await call(`db backup ${file}`), {
      code: 1,
      stderr: `${file}: it exists already, and nothing is overwritten`,
    })
    t.match(await call(`db backup ${join(home, 'no/backup.sqlite')}`), {
      code: 1,
      stderr: /there is no such file or directory/,
    })
    const entries = (await call('audit list --event database_backed_up --json')).json()
    t.match(entries, [{ actor: /^command /, detail: { file } }], 'who has a copy of it is on record, once')
    t.equal(entries.length, 1)
    const copy = openDatabase({ engine: 'sqlite', file })
    t.match(await copy.sql.selectFrom('sessions').select('generation').execute(), [
      { generation: 0 },
      { generation: 0 },
    ])
    await copy.close()
  },
)

t.test('serve refuses what it cannot serve with one sentence, and changes nothing', async t => {
  const { home, call, run } = commandLine(t)
  await call('db migrate')
  const database = join(home, 'db/mintmark.sqlite')
  const rootKey = join(home, 'keys/root.key')
  const key = readFileSync(rootKey)
  /** Every file with its content, but those that SQLite keeps beside an open database. */
  const state = () =>
    readdirSync(home, { recursive: true, encoding: 'utf8' })
      .filter(file => !/-(wal|shm)$/.test(file) && statSync(join(home, file)).isFile())
      .map(file => `${file} ${hash('sha256', readFileSync(join(home, file)))}`)
      .sort()
  const refused = async (sentence: RegExp | string, env: Record<string, string> = {}, how = call) => {
    const before = state()
    const { code, stdout, stderr } = await how('serve', {
      env: { MINTMARK_PORT: '0', MINTMARK_METRICS_PORT: '0', ...env },
    })
    t.match({ code, stdout }, { code: 1, stdout: '' }, String(sentence))
    t.match(stderr, /^mintmark serve: /)
    t.match(stderr, sentence)
    t.notMatch(stderr, / at .*\.[jt]s:/, 'without a stack trace')
    t.strictSame(state(), before, 'and nothing has changed')
  }

  await refused(`belongs to the issuer ${issuer}, but MINTMARK_ISSUER is http://localhost:2`, {
    MINTMARK_ISSUER: 'http://localhost:2',
  })
  await refused(/belongs to the issuer/, { MINTMARK_ISSUER: 'http://localhost:2' }, run)
  await refused(/not valid:\n- MINTMARK_PORT.*\n- MINTMARK_ISUER/, {
    MINTMARK_PORT: 'x',
    MINTMARK_ISUER: 'y',
  })
  await refused(/ENOTDIR|a part of the path is not a directory/, {
    MINTMARK_DATABASE_URL: `sqlite:${rootKey}/db/x.sqlite`,
  })
  await refused(/there is no root key at .*missing\.key, .*put it back from your backup/, {
    MINTMARK_ROOT_KEY_FILE: join(home, 'missing.key'),
  })

  writeFileSync(rootKey, `${Buffer.alloc(32, 7).toString('base64url')}\n`)
  await refused(/is not the one that this database was made with/)
  writeFileSync(rootKey, 'not a key\n')
  await refused(/line 1 of .* is not a root key/)
  writeFileSync(rootKey, key)
  chmodSync(rootKey, 0o640)
  await refused(
    `the root key ${rootKey} can be read by other users, and may have been: \`chmod 600 ${rootKey}\``,
  )
  chmodSync(rootKey, 0o600)

  const db = openDatabase({ engine: 'sqlite', file: database })
  await (db.sql as Kysely<any>)
    .insertInto('migrations')
    .values({ name: '9999-later', applied_at: 1, oldest_program: 9999 })
    .execute()
  await db.close()
  await refused(/migrated by a newer Mintmark.*upgrade this one/)
  t.match(await call('client list'), { code: 1, stderr: /migrated by a newer Mintmark/ })
  t.match((await call('db status')).stdout, /schema +made by a newer Mintmark/)

  writeFileSync(database, 'this is no database, but a text that is long enough to be read as one'.repeat(100))
  await refused(/the database file is not an SQLite database: put it aside and restore a backup/)
})

t.test('serve says which address it cannot have', async t => {
  const { run, serve } = commandLine(t)
  const { url } = await serve()
  const port = new URL(url).port
  const env = { MINTMARK_METRICS_PORT: '0' }
  t.match(await run('serve', { env: { ...env, MINTMARK_PORT: port } }), {
    code: 1,
    stderr: `mintmark serve: 127.0.0.1:${port}: the address is in use`,
  })
  t.match(await run('serve', { env: { ...env, MINTMARK_HOST: '192.0.2.1', MINTMARK_PORT: '0' } }), {
    code: 1,
    stderr: /this machine has no such address/,
  })
})

t.test('each entry is told as it is written, until the tail is cut off', async t => {
  const { start, call, succeed } = commandLine(t)
  await call('db migrate')
  for (const id of ['a', 'b', 'c']) await call(`client create --id ${id} --public --grant password`)
  const tail = start(['audit', 'tail', '--lines', '2', '--json'])
  t.teardown(() => tail.kill())
  const lines = createInterface(tail.stdout)[Symbol.asyncIterator]()
  const next = async () => JSON.parse((await lines.next()).value ?? '{}')
  t.match(await next(), { event: 'client_created', client_id: 'b' })
  t.match(await next(), { event: 'client_created', client_id: 'c' })
  await call('client disable a')
  t.match(await next(), { event: 'client_disabled', client_id: 'a' })
  await call('client enable a')
  t.match(await next(), { event: 'client_enabled', client_id: 'a' })
  tail.kill('SIGINT')
  const [, signal] = await once(tail, 'exit')
  t.equal(signal, 'SIGINT')
  await succeed('audit list')
})
