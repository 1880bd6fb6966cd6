import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { findClient } from '../../db/clients/clients.ts'
import { openDatabase } from '../../db/open-database.ts'
import type { SessionTable } from '../../db/schema.ts'
import { listRevocations } from '../../db/sessions/revocations.ts'
import { findUser } from '../../db/users/users.ts'
import { openProgress } from '../../src/commands/shell/progress.ts'
import { formatUuid } from '../../src/protocol/secrets.ts'
import { bareEnv } from '../helpers/bare-env.ts'
import { builtProgram } from '../helpers/built-program.ts'
import { commandLine, issuer } from '../helpers/cli.ts'
import { handClock } from '../helpers/hand-clock.ts'
import { addSessions, beginSession } from '../helpers/records.ts'

const [a, b] = ['https://a.example', 'https://b.example']
const day = 86_400

/** An installation with two APIs, two clients and two users, and as many sessions as a test wants. */
async function world(t: Test) {
  const line = commandLine(t)
  const { call, home } = line
  await call('db migrate')
  for (const uri of [a, b]) await call(`resource create ${uri} --scope read`)
  await call(`client create --id web --public --grant password --scope read --resource ${a}`)
  await call(`client create --id app --public --grant password --scope read --resource ${a} ${b}`)
  for (const name of ['alice', 'bob'])
    await call(`user create ${name} --password-stdin`, { input: 'long enough' })
  const db = openDatabase({ engine: 'sqlite', file: join(home, 'db/mintmark.sqlite') })
  t.teardown(() => db.close())
  const [alice, bob] = [await findUser(db, 'alice'), await findUser(db, 'bob')]
  if (!alice || !bob) throw new Error('unreachable')
  const model = await beginSession(db, alice.id)
  const now = Math.floor(Date.now() / 1000)
  const clientEpochs = new Map<string, number>()
  for (const id of ['web', 'app']) clientEpochs.set(id, (await findClient(db, id))?.epoch ?? 0)
  const living = {
    auth_time: now,
    rotated_at: now,
    expires_at: now + 30 * day,
    absolute_expires_at: now + 180 * day,
    revoked_at: null,
    revoke_reason: null,
  }
  /** Adds sessions that live, of alice through web unless told. */
  const add = (count: number, changes: Partial<SessionTable> = {}) =>
    addSessions(db, model, count, {
      ...living,
      client_epoch: clientEpochs.get(changes.client_id ?? 'web') ?? 0,
      ...changes,
    })
  await db.sql.deleteFrom('sessions').where('id', '!=', model).execute()
  await db.sql.updateTable('sessions').set({ revoked_at: 1, revoke_reason: 'model' }).execute()
  const count = async (options: string) => (await call(`session list --json ${options}`.trim())).json().length
  const told = async () => (await listRevocations(db, { from: 0, limit: 1e6 })).length
  return { ...line, db, alice, bob, now, add, count, told }
}

t.test(
  'sessions are found and revoked by what they are for, by their age, and by all of it together',
  async t => {
    const { call, add, count, told, bob, now } = await world(t)
    await add(1)
    await add(2, { client_id: 'app' })
    await add(3, { client_id: 'app', resource: b })
    await add(4, { auth_time: now - 40 * day })
    await add(5, { auth_time: now - 40 * day, rotated_at: now - 10 * day, user_id: bob.id })
    await add(6, { client_id: 'app', resource: a, auth_time: now - 100 * day, user_id: bob.id })

    const wanted: [options: string, found: number][] = [
      ['', 21],
      [`--resource ${a}`, 1 + 2 + 4 + 5 + 6],
      [`--resource ${b}`, 2 + 3],
      ['--older-than 30d', 4 + 5 + 6],
      ['--older-than 60d', 6],
      ['--idle-for 7d', 5],
      ['--idle-for 7d --older-than 60d', 0],
      ['--older-than 30d --user alice', 4],
      [`--older-than 30d --client app --resource ${a}`, 6],
      ['--user bob --client web --idle-for 9d --older-than 39d', 5],
    ]
    for (const [options, found] of wanted) t.equal(await count(options), found, options)
    for (const wrong of ['--resource https://c.example', '--older-than x', '--idle-for 0']) {
      t.match((await call(`session list ${wrong}`)).code, /1|2/, wrong)
      t.match((await call(`session revoke ${wrong} --yes`)).code, /1|2/, wrong)
    }

    t.match(await call(`session revoke --resource ${b} --older-than 1d`), {
      code: 0,
      stdout: /^Ended 0 sessions/,
    })
    t.match(
      await call('session revoke --client app --idle-for 7d --older-than 60d --user bob --yes --json'),
      {
        code: 0,
      },
    )
    const asked = await call(`session revoke --resource ${b} --idle-for 1d`)
    t.match(asked, { code: 0, stdout: 'Ended 0 sessions for https://b.example idle for 1d.' })
    const revoked = await call(`session revoke --resource ${b} --yes`)
    t.match(
      revoked.stdout,
      /^Ended 5 sessions for https:\/\/b\.example\.\nTheir .* by introspection now, .* status list .* within 1m, .* \(5m\)\.\n$/,
    )
    t.equal(revoked.stderr.trim().split('\n').length, 5, 'a line for each')
    const old = await call('session revoke --user bob --older-than 39d --yes --json')
    t.strictSame(old.json(), { sessions_revoked: 11, sub: formatUuid(bob.id) })
    t.equal(await count(''), 5)
    t.match(await call('session revoke --all --user alice'), { code: 2 })
    t.equal((await call('session revoke --all --yes --json')).json().sessions_revoked, 5)
    t.equal(await told(), 21, 'and the status lists learn of each')
  },
)

t.test(
  'a user or a client that is changed ends its sessions, and the status lists learn of each',
  async t => {
    const { call, add, told, bob, db } = await world(t)
    await add(3)
    await add(2, { user_id: bob.id })
    await add(4, { client_id: 'app', user_id: bob.id })
    t.match(await call('user passwd alice --password-stdin', { input: 'another one' }), { code: 0 })
    t.equal(await told(), 3)
    t.match(await call('client disable app'), { code: 0 })
    t.equal(await told(), 7)
    t.match(await call('client enable app'), { code: 0 })
    t.match(await call('user disable bob'), { code: 0 })
    t.equal(await told(), 9)
    t.match(await call('user delete alice'), { code: 0 })
    t.match(await call('client delete web'), { code: 0 })
    t.equal(await told(), 9)
    t.strictSame(await db.sql.selectFrom('endings').selectAll().execute(), [], 'no work is left')
  },
)

t.test('a long revocation can be interrupted, in any way, and run again', async t => {
  const { home, call, db, add, told, count } = await world(t)
  const start = (args: string) => {
    const env = { ...bareEnv, MINTMARK_HOME: home, MINTMARK_ISSUER: issuer }
    const child = spawn(process.execPath, [builtProgram(), ...args.split(' ')], { env })
    t.teardown(() => child.kill('SIGKILL'))
    return { child, ended: Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]) }
  }
  const interrupt = async (args: string, signal: 'SIGINT' | 'SIGKILL') => {
    const before = await told()
    const { child, ended } = start(args)
    while ((await told()) === before) await sleep(2)
    child.kill(signal)
    const [, stderr] = await ended
    return { code: child.exitCode, stderr, done: (await told()) - before }
  }

  await add(6_000)
  const stopped = await interrupt('session revoke --all --yes', 'SIGINT')
  t.match(stopped, {
    code: 1,
    stderr: /stopped: all of them have ended, but the status lists tell of [\d,]+ so far/,
  })
  t.ok(stopped.done < 6_000, `${stopped.done} rows were written`)
  t.equal(await count(''), 0, 'none lives, whatever the rows say')
  const rest = await interrupt('session revoke --all --yes', 'SIGKILL')
  t.equal(rest.code, null)
  const again = (await call('session revoke --all --yes --json')).json().sessions_revoked
  t.equal(stopped.done + rest.done + again, 6_000, 'each row is written once')
  t.equal(await told(), 6_000)

  const client_epoch = (await findClient(db, 'web'))?.epoch ?? 0
  await add(6_000, { client_epoch })
  const oneByOne = await interrupt(`session revoke --resource ${a} --yes`, 'SIGINT')
  t.match(oneByOne, {
    code: 1,
    stderr: /stopped: [\d,]+ of 6,000 sessions have ended; run it again for the rest/,
  })
  t.match(JSON.parse(oneByOne.stderr.split('\n')[0] ?? ''), {
    event: 'sessions_revoked',
    sids: { length: 200 },
  })
  const left = (await call(`session revoke --resource ${a} --yes --json`)).json().sessions_revoked
  t.equal(oneByOne.done + left, 6_000)
  t.equal(await told(), 12_000)
})

t.test('progress is drawn on a terminal, above a thousand, and told in lines elsewhere', async t => {
  const clock = handClock()
  let written = ''
  const sink = () =>
    new Writable({
      write: (chunk, _encoding, done) => {
        written += String(chunk)
        done()
      },
    })
  const stream = (isTTY: boolean) => ({
    stderr: Object.assign(sink(), { isTTY }) as unknown as NodeJS.WriteStream,
    clock,
  })
  const bar = openProgress(stream(true), 'session', 2000)
  bar.at(500)
  t.match(written, /^\r\x1b\[2K.*█+.*░+  25%  500 of 2,000 sessions  \d+:\d\d left$/)
  bar.at(501)
  t.notMatch(written, /501/, 'ten times a second is enough')
  clock.tick(0.11)
  bar.at(2000)
  t.match(written, /100%  2,000 of 2,000 sessions  0:00 left$/)
  bar.end()
  t.match(written, /\r\x1b\[2K$/, 'and leaves nothing behind')

  written = ''
  openProgress(stream(true), 'session', 999).at(500)
  openProgress(stream(true), 'session').at(999)
  openProgress(stream(false), 'session', 5000).at(500)
  t.equal(written, '')
  openProgress(stream(true), 'session').at(1500)
  t.match(written, /1,500 sessions$/, 'without a total it is a count')
})
