import { randomBytes } from 'node:crypto'
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { replaceDatabase } from '../../db/backups/replace.ts'
import { reviveBackup } from '../../db/backups/restored.ts'
import { findClient } from '../../db/clients/clients.ts'
import type { Database } from '../../db/database.ts'
import { findInstallation } from '../../db/installation/installation.ts'
import { openDatabase } from '../../db/open-database.ts'
import type { SigningKeyTable } from '../../db/schema.ts'
import { findSession } from '../../db/sessions/sessions.ts'
import { insertSession, type NewSession } from '../../db/sessions/starts.ts'
import { findUser } from '../../db/users/users.ts'
import { formatUuid, newUuid } from '../../src/protocol/secrets.ts'
import { statusListSize } from '../../src/protocol/status-list.ts'
import { readRevocationLog } from '../../src/record/restore-log.ts'
import { commandLine, type Outcome } from '../helpers/cli.ts'
import { refresh, startFleet, type HonestClient, type Instance } from '../helpers/fleet.ts'
import { secretHash } from '../helpers/records.ts'

const password = 'correct horse battery staple'

/** A running server, and one log of all that it and the commands say. */
async function world(t: Test) {
  const fleet = await startFleet(t, {})
  const cli = commandLine(t, fleet.home)
  const file = join(fleet.home, 'db/mintmark.sqlite')
  const log = join(fleet.home, 'mintmark.log')
  const backup = join(fleet.home, 'backup.sqlite')
  let server = await fleet.start()
  const run = async (args: string, input = ''): Promise<Outcome> => {
    const outcome = await cli.call(args, { input })
    appendFileSync(log, outcome.stderr)
    return outcome
  }
  const must = async (args: string, input?: string): Promise<Outcome> => {
    const outcome = await run(args, input)
    t.equal(outcome.code, 0, `mintmark ${args}\n${outcome.stderr}`)
    return outcome
  }
  const stop = async () => {
    await server.kill('SIGTERM')
    appendFileSync(log, server.log.map(line => `${JSON.stringify(line)}\n`).join(''))
  }
  return {
    fleet,
    file,
    log,
    backup,
    run,
    must,
    stop,
    server: () => server,
    start: async (): Promise<Instance> => (server = await fleet.start()),
    logIn: async (username: string): Promise<HonestClient> => {
      const { status, body } = await server.post('/token', {
        grant_type: 'password',
        client_id: 'app',
        username,
        password,
      })
      t.equal(status, 200, `${username} logs in`)
      return { refreshToken: body.refresh_token }
    },
    refresh: async (client: HonestClient) => {
      const answer = await refresh(server.url, client.refreshToken)
      if (answer.kind === 'token') client.refreshToken = answer.token
      return answer.kind
    },
    files: () => readdirSync(join(fleet.home, 'db')).sort(),
  }
}

t.test('a backup made under load is restored: nobody is logged out, and nobody comes back', async t => {
  const w = await world(t)
  for (const name of ['bob', 'carol', 'dave']) await w.must(`user create ${name} --password-stdin`, password)
  const clients = await w.fleet.logIn(5)
  const [revoked, ended, resting] = [await w.logIn('ada'), await w.logIn('ada'), await w.logIn('ada')]
  const [bob, carol, dave] = [await w.logIn('bob'), await w.logIn('carol'), await w.logIn('dave')]

  const load = w.fleet.load(clients)
  await load.progress()
  await w.must(`db backup ${w.backup}`)
  await load.progress()
  t.strictSame(await load.stop(), [], 'the backup disturbs nobody')
  for (const client of [revoked, ended, bob, carol, dave]) t.equal(await w.refresh(client), 'token')

  const later = await w.logIn('ada')
  await w.server().post('/revoke', { client_id: 'app', token: revoked.refreshToken })
  await w.must(`session revoke --id ${sidOf(ended)} --yes`)
  await w.must('user disable bob')
  await w.must('user passwd carol --password-stdin', 'another password')
  await w.must('user delete dave')
  const keys: { kid: string; alg: string; state: string }[] = (await w.must('key list --json')).json()
  const leaked = keys.find(key => key.alg === 'ES256' && key.state === 'active')?.kid ?? ''
  await w.must(`key revoke ${leaked} --yes`)
  t.match(await w.run(`db restore ${w.backup} --accept-unrevoked`), {
    code: 1,
    stderr: /is in use: stop every server/,
  })
  await w.stop()

  const counts = async () => (await w.must('session list --summary --json')).json().clients
  const before = await counts()
  const asked = await w.run(`db restore ${w.backup}`)
  t.equal(asked.code, 1, 'it does not go on without an answer')
  t.match(asked.stderr, /5 sessions that had ended/)
  t.match(
    asked.stderr,
    /users that were disabled: bob\n.*users that were deleted: dave\n.*old passwords of: carol/,
  )
  t.match(
    asked.stderr,
    /Nothing was changed\. Say what to do: --revocations LOG .*--accept-unrevoked.*--end-sessions/,
  )
  t.strictSame(await counts(), before, 'nothing was changed')
  t.notOk(existsSync(`${w.file}.restoring`), 'nothing is left behind')

  const ofServer = `${w.log}-of-server`
  const serverLines = w.server().log.map(line => `${JSON.stringify(line)}\n`)
  writeFileSync(ofServer, serverLines.join(''))
  const half = await w.run(`db restore ${w.backup} --revocations ${ofServer}`)
  t.equal(half.code, 1, 'nor with the logs of servers alone, where commands have revoked')
  t.match(half.stderr, /The logs do not tell of all that had ended\. [^]*4 sessions that had ended/)
  t.match(
    half.stderr,
    /users that were disabled: bob\n.*users that were deleted: dave\n.*keys that were revoked/,
  )
  t.notMatch(half.stderr, /old passwords/, 'no log has those')
  t.match(half.stderr, /Nothing was changed\. .* more of --revocations LOG, .*--accept-unrevoked/)
  t.strictSame(await counts(), before, 'nothing was changed')

  const unasked = await w.run(`db restore ${w.backup} --revocations ${w.log}`)
  t.match(unasked, {
    code: 1,
    stderr: new RegExp(`users are disabled: bob, dave\n.*keys are revoked: ${leaked}\n`),
  })
  t.match(unasked.stderr, /Nothing was changed\. Say what to do: --yes does all of it; --sessions-only/)
  t.strictSame(await counts(), before, 'what is more than ended sessions has to be agreed to')
  const restored = (await w.must(`db restore ${w.backup} --revocations ${w.log} --yes --json`)).json()
  t.match(restored.replayed, {
    sessions_revoked: 5,
    users_disabled: ['bob', 'dave'],
    old_passwords: ['carol'],
    keys_revoked: [leaked],
  })
  const kept = openDatabase({ engine: 'sqlite', file: restored.kept })
  t.ok(await findSession(kept, idOf(later)), 'the database of before is kept')
  await kept.close()
  t.strictSame(
    w.files().filter(name => name.includes('restoring')),
    [],
    `nothing else is left behind: ${w.files().join(' ')}`,
  )

  const server = await w.start()
  const published = await fetch(`${server.url}/.well-known/jwks.json`).then(response => response.text())
  t.notMatch(published, leaked, 'a signing key that was revoked does not sign again')
  for (const client of [...clients, resting])
    t.equal(await w.refresh(client), 'token', 'an honest client goes on')
  for (const client of [revoked, ended, bob, carol, dave])
    t.equal(await w.refresh(client), 'refused', 'a revoked one')
  t.equal(
    await w.refresh(later),
    'refused',
    'the one log-out of a restore: whoever logged in after the backup',
  )
  const form = { grant_type: 'password', client_id: 'app', username: 'bob', password }
  t.equal((await server.post('/token', form)).status, 400, 'who was disabled since cannot log in')
  const healed = server.log.filter(line => line['event'] === 'session_healed')
  t.equal(healed.length, clients.length, 'each session that was healed has a line in the log')
  t.equal(healed.at(-1)?.['healed'], clients.length, 'which counts them')
})

/** The id of the session that a refresh token belongs to. */
function idOf({ refreshToken }: HonestClient): Buffer {
  return Buffer.from(refreshToken.slice('mm_rt_'.length, -6), 'base64url').subarray(5, 21)
}

const sidOf = (client: HonestClient) => formatUuid(idOf(client))

/** An installation without a server, with users of one session each. */
async function quiet(t: Test, env: Record<string, string> = {}) {
  const cli = commandLine(t)
  const file = join(cli.home, 'db/mintmark.sqlite')
  const backup = join(cli.home, 'backup.sqlite')
  const run = (args: string, more: Record<string, string> = {}) =>
    cli.call(args, { env: { ...env, ...more } })
  const must = async (args: string, input = '') => {
    const outcome = await cli.call(args, { env, input })
    t.equal(outcome.code, 0, `mintmark ${args}\n${outcome.stderr}`)
    return outcome
  }
  const open = async <Result>(path: string, work: (db: Database) => Promise<Result>): Promise<Result> => {
    const db = openDatabase({ engine: 'sqlite', file: path })
    try {
      return await work(db)
    } finally {
      await db.close()
    }
  }
  await must('db migrate')
  await must('client create --id app --public --grant password refresh_token')
  const now = Math.floor(Date.now() / 1000)
  const begin = async (username: string, changes: Partial<NewSession> = {}): Promise<Buffer> => {
    await must(`user create ${username} --password-stdin`, password)
    return open(file, async db => {
      const [user, client] = [await findUser(db, username), await findClient(db, 'app')]
      if (!user || !client) throw new Error('unreachable: they were made just now')
      const id = newUuid(now)
      const lives = { auth_time: now, expires_at: now + 1000, absolute_expires_at: now + 5000 }
      const epochs = { user_epoch: user.epoch, client_epoch: client.epoch }
      const rest = {
        secret_hash: secretHash,
        scope: '',
        resource: null,
        amr: 'pwd',
        status_position: 0,
        last_address: null,
      }
      await insertSession(db, {
        id,
        user_id: user.id,
        client_id: 'app',
        ...epochs,
        ...rest,
        ...lives,
        ...changes,
      })
      return id
    })
  }
  const stateOf = (id: Buffer) =>
    open(file, async db => {
      const session = await findSession(db, id)
      if (!session) return 'gone'
      return session.revoked_at === null && session.isOfThisEpoch ? 'living' : 'ended'
    })
  return { ...cli, file, backup, run, must, open, begin, stateOf, now }
}

t.test('without a log the one who restores decides what lives again', async t => {
  const w = await quiet(t)
  const [ada, bob] = [await w.begin('ada'), await w.begin('bob')]
  await w.must(`db backup ${w.backup}`)
  t.match(await w.run(`db restore ${w.backup}`), { code: 0 }, 'nothing is asked where nothing lives again')

  await w.must('user disable ada')
  t.match(await w.run(`db restore ${w.backup}`), { code: 1, stderr: /users that were disabled: ada/ })
  t.equal(await w.stateOf(ada), 'ended')
  const accepted = (await w.must(`db restore ${w.backup} --accept-unrevoked --json`)).json()
  t.match(accepted.unrevoked, { sessions: 1, users: [{ username: 'ada', since: 'disabled' }] })
  t.equal(await w.stateOf(ada), 'living')

  await w.must(`session revoke --id ${formatUuid(ada)} --yes`)
  const ended = await w.must(`db restore ${w.backup} --end-sessions`)
  t.match(ended.stdout, /Ended 2 sessions: everybody has to log in again/)
  t.strictSame([await w.stateOf(ada), await w.stateOf(bob)], ['ended', 'ended'])
  t.match(await w.run(`db restore ${w.backup} --end-sessions --accept-unrevoked`), {
    code: 2,
    stderr: /contradict each other/,
  })
})

/** One that cannot be opened. */
function nextKey(publishedAt: number): SigningKeyTable {
  return {
    kid: 'next',
    alg: 'ES256',
    sealed_private_key: Buffer.alloc(1),
    root_key_id: '',
    published_at: publishedAt,
    activated_at: null,
    retired_at: null,
    verify_until: 0,
    verify_seconds: 0,
    witnessed_seconds: 1000,
    rotation_requested_at: null,
    revoked_at: null,
    revoke_reason: null,
  }
}

t.test('idle limits move by the age of the backup, and nothing else does', async t => {
  const w = await quiet(t)
  const day = 86_400
  const madeAt = w.now - 10 * day
  const lives = (expires: number, absolute: number) => ({
    auth_time: madeAt - day,
    expires_at: w.now + expires * day,
    absolute_expires_at: w.now + absolute * day,
  })
  const rows: [username: string, before: ReturnType<typeof lives>, expiresIn: number][] = [
    ['refreshed', lives(-8, 90), 2],
    ['bounded', lives(-1, 3), 3],
    ['expired', lives(-11, 90), -11],
  ]
  const ids: Buffer[] = []
  for (const [username, before] of rows) ids.push(await w.begin(username, before))
  await w.open(w.file, db => db.sql.insertInto('signing_keys').values(nextKey(madeAt)).execute())
  await w.must(`db backup ${w.backup}`)
  await w.open(w.backup, db => db.sql.updateTable('installation').set({ backed_up_at: madeAt }).execute())
  await w.open(w.file, db => db.sql.updateTable('status_positions').set({ next: 777 }).execute())

  await w.must(`db restore ${w.backup}`)
  await w.open(w.file, async db => {
    for (const [i, [username, , expiresIn]] of rows.entries()) {
      const session = await findSession(db, ids[i] ?? Buffer.alloc(16))
      const left = (session?.expires_at ?? 0) - w.now
      t.ok(Math.abs(left - expiresIn * day) <= 60, `${username} expires in ${left} s`)
    }
    const { witnessed_seconds } = await db.sql
      .selectFrom('signing_keys')
      .selectAll()
      .executeTakeFirstOrThrow()
    t.equal(witnessed_seconds, 0, 'a next key is published for its whole lead again')
    const { next } = await db.sql.selectFrom('status_positions').selectAll().executeTakeFirstOrThrow()
    t.equal(next, 777, 'no position in the status lists is given twice')
    t.equal((await findInstallation(db))?.backed_up_at, null)
    t.equal(
      await reviveBackup(db, { madeAt, now: w.now, nextPosition: 0, isSeenTo: true }),
      false,
      'it is done once',
    )
  })
})

t.test('a database that is damaged or gone is replaced, and what is left of it is kept', async t => {
  const w = await quiet(t)
  const ada = await w.begin('ada')
  await w.must(`db backup ${w.backup}`)
  writeFileSync(w.file, 'this was a database')
  writeFileSync(`${w.file}-wal`, 'and this its log')
  writeFileSync(`${w.file}.restoring`, 'and this a restore that was interrupted')
  t.match(await w.run(`db restore ${w.backup}`), {
    code: 1,
    stderr: /What was revoked since the backup was made \(.*\) comes back to life/,
  })
  const { kept } = (await w.must(`db restore ${w.backup} --accept-unrevoked --json`)).json()
  t.equal(readFileSync(kept, 'utf8'), 'this was a database')
  t.equal(readFileSync(`${kept}-wal`, 'utf8'), 'and this its log')
  t.equal(await w.stateOf(ada), 'living')
  const { next } = await w.open(w.file, db =>
    db.sql.selectFrom('status_positions').selectAll().executeTakeFirstOrThrow(),
  )
  t.equal(next % statusListSize, 0, 'status lists begin anew where nobody knows what was given')

  rmSync(join(w.home, 'db'), { recursive: true })
  t.match((await w.must(`db restore ${w.backup} --accept-unrevoked --json`)).json(), { kept: null })
  t.equal(await w.stateOf(ada), 'living')
})

t.test('a backup that is put in place by hand serves too, and says what is missing', async t => {
  const w = await quiet(t)
  const ada = await w.begin('ada', { auth_time: w.now - 2000 })
  await w.must(`db backup ${w.backup}`)
  const madeAt = w.now - 1000
  await w.open(w.backup, db => db.sql.updateTable('installation').set({ backed_up_at: madeAt }).execute())
  rmSync(`${w.file}-wal`, { force: true })
  copyFileSync(w.backup, w.file)

  const server = await w.serve()
  const told = server
    .said()
    .split('\n')
    .filter(line => line.includes('database_restored'))
  t.equal(told.length, 1)
  t.match(JSON.parse(told[0] ?? ''), {
    level: 40,
    made_at: madeAt,
    msg: /what was revoked since lives again; `mintmark db revive --revocations LOG` revokes again/,
  })
  await w.open(w.file, async db => {
    t.match(await findInstallation(db), { backed_up_at: null, lost_since: madeAt }, 'only once')
    const left = ((await findSession(db, ada))?.expires_at ?? 0) - w.now
    t.ok(left >= 2000 && left <= 2060, `its idle limit has moved by the age of the backup: ${left} s`)
  })
})

t.test('what is no backup of this installation is refused, and nothing is changed', async t => {
  const w = await quiet(t)
  await w.begin('ada')
  await w.must(`db backup ${w.backup}`)
  const path = (name: string) => join(w.home, name)
  writeFileSync(path('garbage'), 'x'.repeat(5000))
  await w.open(path('empty.sqlite'), async db => {
    await sql`create table t (a)`.execute(db.sql)
  })
  writeFileSync(path('empty.log'), '')
  writeFileSync(
    path('late.log'),
    `${JSON.stringify({ level: 30, time: (w.now + 1000) * 1000, msg: 'serving' })}\n`,
  )
  const other = path('other.key')
  writeFileSync(other, `${randomBytes(32).toString('base64url')}\n`, { mode: 0o600 })
  const flag = '--accept-unrevoked'
  const refusals: [name: string, args: string, stderr: RegExp, env?: Record<string, string>][] = [
    ['no file', `${path('missing')} ${flag}`, /there is no file/],
    [
      'no database',
      `${path('garbage')} ${flag}`,
      /garbage is damaged, or no SQLite database: restore another backup/,
    ],
    ['a directory', `${w.home} ${flag}`, /there is no file/],
    ["another program's", `${path('empty.sqlite')} ${flag}`, /is no database of Mintmark/],
    [
      "another issuer's",
      `${w.backup} ${flag}`,
      /belongs to the issuer/,
      { MINTMARK_ISSUER: 'https://other.example' },
    ],
    ["another root key's", `${w.backup} ${flag}`, /root key/, { MINTMARK_ROOT_KEY_FILE: other }],
    ['a log that is not there', `${w.backup} --revocations ${path('missing.log')}`, /no such file/],
    ['a log that tells nothing', `${w.backup} --revocations ${path('empty.log')}`, /the logs tell nothing/],
    ['a log that begins too late', `${w.backup} --revocations ${path('late.log')}`, /the logs begin at/],
    [
      'PostgreSQL',
      `${w.backup} ${flag}`,
      /its own tools/,
      { MINTMARK_DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none' },
    ],
  ]
  const before = readdirSync(join(w.home, 'db')).filter(name => name.endsWith('.sqlite'))
  for (const [name, args, stderr, env] of refusals) {
    t.match(await w.run(`db restore ${args}`, env), { code: 1, stderr }, name)
    const after = readdirSync(join(w.home, 'db')).filter(file => !/-(wal|shm)$/.test(file))
    t.strictSame(after, before, `${name}: nothing is changed`)
  }
  const both = await w.run(`db restore ${w.backup} --revocations ${path('late.log')} ${flag}`)
  t.equal(both.code, 0, 'what a log does not tell may be accepted')
})

t.test('revocations are found in the logs of those who keep them', async t => {
  const w = await quiet(t)
  const ids: Buffer[] = []
  for (const name of ['plain', 'syslog', 'cri', 'docker', 'many', 'more', 'client', 'living'])
    ids.push(await w.begin(name))
  const [plain, syslog, cri, docker, many, more, , living] = ids.map(formatUuid)
  await w.must(`db backup ${w.backup}`)
  const at = w.now + 5
  const line = (facts: object) =>
    JSON.stringify({ level: 30, time: at * 1000, reason: 'client', at, ...facts })
  const revoked = (sid: string | undefined) => line({ event: 'session_revoked', sid })
  const lines = [
    JSON.stringify({ level: 30, time: (w.now - 100) * 1000, msg: 'serving' }),
    revoked(plain),
    `Nov 23 04:36:34 host mintmark[12]: ${revoked(syslog)}`,
    `2026-11-23T04:36:34.123Z stderr F ${revoked(cri)}`,
    JSON.stringify({ log: `${revoked(docker)}\n`, stream: 'stderr', time: '2026-11-23T04:36:34.1Z' }),
    line({ event: 'sessions_revoked', sids: [many, more] }),
    line({ event: 'sessions_revoked', sids: [living, 'no uuid'] }),
    line({ event: 'client_revoked', client_id: 'unknown', epoch: 1, reason: 'client disabled' }),
    line({ event: 'key_revoked', kid: 'unknown' }),
    line({ event: 'user_revoked', epoch: 1, sub: formatUuid(newUuid(w.now)) }),
    line({ event: 'nothing_revoked', sid: living }),
    `${revoked(living).slice(0, -5)}`,
    revoked('no uuid'),
    'a line that says session_revoked and is no JSON',
  ]
  const file = join(w.home, 'server.log')
  writeFileSync(file, `${lines.join('\n')}\n`)
  t.match(await readRevocationLog(file), { beginsAt: w.now - 100, unreadable: 4, revocations: { length: 8 } })

  const { replayed } = (await w.must(`db restore ${w.backup} --revocations ${file} --json`)).json()
  t.match(replayed, { sessions_revoked: 6, users_disabled: [], clients_disabled: [], keys_revoked: [] })
  const ended = await Promise.all(ids.map(w.stateOf))
  t.strictSame(ended, [...Array<string>(6).fill('ended'), 'living', 'living'])
  const trail: { event: string; session: string | null; detail: object }[] = (
    await w.must('audit list --json')
  ).json()
  const told = trail.filter(
    entry => entry.event.startsWith('session_') || entry.event.startsWith('database_'),
  )
  t.match(
    told.map(entry => entry.event),
    ['database_restored', ...Array<string>(6).fill('session_revoked')],
    'the audit trail tells of the restore, and of what it has revoked',
  )

  const later = join(w.home, 'more.log')
  const { epoch = 0 } = (await w.open(w.file, db => findClient(db, 'app'))) ?? {}
  writeFileSync(
    later,
    `${line({ event: 'client_revoked', client_id: 'app', epoch: epoch + 3, reason: 'client disabled', at: w.now + 6 })}\n`,
  )
  const again = await w.must(`db restore ${w.backup} --yes --revocations ${file} ${later}`)
  t.match(again.stdout, /Revoked 8 sessions again\.\nDisabled these clients, .*: app\./)
  t.match(again.stderr, /4 lines about revocations cannot be read/)
  t.match(await w.run('client list'), { stdout: /app .*/ })
})

t.test(
  'who can write to a log can have sessions ended, and what is more only if that is agreed to',
  async t => {
    const w = await quiet(t)
    const ada = await w.begin('ada')
    await w.begin('bob')
    await w.open(w.file, db => db.sql.insertInto('signing_keys').values(nextKey(w.now)).execute())
    await w.must(`db backup ${w.backup}`)
    const epochs = () =>
      w.open(w.file, async db => {
        const [user, client] = [await findUser(db, 'ada'), await findClient(db, 'app')]
        if (!user || !client) throw new Error('unreachable: they are in the backup')
        return {
          sub: formatUuid(user.id),
          user: user.epoch,
          client: client.epoch,
          disabledAt: user.disabled_at,
        }
      })
    const before = await epochs()
    const at = w.now + 5
    const { sub } = before
    const user = { event: 'user_revoked', sub, epoch: before.user + 1, at, reason: 'command' }
    const client = {
      event: 'client_revoked',
      client_id: 'app',
      epoch: before.client + 1,
      at,
      reason: 'command',
    }
    const disabled = { ...user, reason: 'user disabled' }
    const log = join(w.home, 'a.log')
    const restore = async (line: object | string, more = '') => {
      const begin = JSON.stringify({ time: (w.now - 10) * 1000, msg: 'serving' })
      writeFileSync(log, `${begin}\n${typeof line === 'string' ? line : JSON.stringify(line)}\n`)
      return w.run(`db restore ${w.backup}${more} --revocations ${log}`)
    }

    const impossible: [title: string, line: object | string][] = [
      ['an epoch that nothing can be added to', JSON.stringify(user).replace(/"epoch":\d+/, '"epoch":1e308')],
      ['one that is no safe integer', { ...user, epoch: 2 ** 53 }],
      ['one that is no integer', { ...user, epoch: before.user + 1.5 }],
      ['one below zero', { ...user, epoch: -1 }],
      ['a text', { ...user, epoch: '1' }],
      ['one far ahead', { ...user, epoch: before.user + 1001 }],
      ["a client's far ahead", { ...client, epoch: before.client + 1001 }],
      ["a client's without end", JSON.stringify(client).replace(/"epoch":\d+/, '"epoch":1e308')],
      ['a time in the future', { ...user, at: w.now + 100_000 }],
      ['a time without end', JSON.stringify(user).replace(/"at":\d+/, '"at":1e308')],
      ['a time that is a text', { ...user, at: String(at) }],
      [
        'the end of a session in the future',
        { event: 'session_revoked', sid: formatUuid(ada), at: w.now + 100_000 },
      ],
      ['a key in the future', { event: 'key_revoked', kid: 'next', at: w.now + 100_000 }],
    ]
    for (const [title, line] of impossible) {
      const outcome = await restore(line)
      t.match(outcome, { code: 0, stderr: /1 line about revocations cannot be (read|true)/ }, title)
      t.strictSame(await epochs(), before, `${title}: does not count`)
    }
    t.equal(await w.stateOf(ada), 'living')

    const more: [title: string, line: object, facts: RegExp][] = [
      ['a disabled user', disabled, /users are disabled: ada$/m],
      ['a deleted one', { ...user, reason: 'user deleted' }, /users are disabled: ada$/m],
      ['a disabled client', { ...client, reason: 'client disabled' }, /clients are disabled: app$/m],
      ['a key', { event: 'key_revoked', kid: 'next', at, reason: '' }, /signing keys are revoked: next$/m],
      ['a new beginning', { event: 'all_keys_revoked', kids: ['next'], at }, /all begins anew/],
    ]
    for (const [title, line, facts] of more) {
      t.match(await restore(line), { code: 1, stderr: facts }, `${title} is asked about`)
      t.match(await restore(line, ' --accept-unrevoked'), { code: 1, stderr: facts }, `${title}: each time`)
    }
    t.strictSame(await epochs(), before, 'nothing was changed')

    const early = { ...user, at: w.now + 3600, reason: 'command' }
    t.match(await restore(early), { code: 0 }, 'a clock that was an hour ahead, and set back')
    t.match(await epochs(), { user: before.user + 1 }, 'is no reason to let anybody live')
    t.match(await restore('{}', ' --accept-unrevoked'), { code: 0 })
    t.strictSame(await epochs(), before)
    t.match(await restore(disabled, ' --sessions-only'), { code: 0 })
    t.match(await epochs(), { user: before.user + 1, disabledAt: null }, 'or sessions alone are ended')
    t.equal(await w.stateOf(ada), 'ended')
    t.match(await restore({ event: 'key_revoked', kid: 'next', at }, ' --sessions-only --accept-unrevoked'), {
      code: 0,
    })
    const { revoked_at } = await w.open(w.file, db =>
      db.sql.selectFrom('signing_keys').select('revoked_at').executeTakeFirstOrThrow(),
    )
    t.equal(revoked_at, null, 'and no key')
    t.match(
      await restore(client, ' --accept-unrevoked'),
      { code: 0 },
      'the end of sessions is not asked about',
    )
    t.match(await epochs(), { client: before.client + 1 })
    const long = { ...disabled, reason: `user disabled\u001b[2J${'x'.repeat(5000)}` }
    t.match(
      await restore(long, ' --accept-unrevoked'),
      { code: 0 },
      'a reason is a text, and does nothing that it does not say',
    )
    t.match(await epochs(), { disabledAt: null })
    const { revoke_reason } = (await w.open(w.file, db => findSession(db, ada))) ?? {}
    t.match(revoke_reason, /^user disabled \[2Jx{183}$/)
    t.match(await restore(disabled, ' --yes --accept-unrevoked'), {
      code: 0,
      stdout: /Disabled these users, .*: ada\./,
    })
  },
)

t.test('a restore that is given up has not touched the root key either', async t => {
  const w = await quiet(t)
  await w.begin('ada')
  await w.open(w.file, db => db.sql.insertInto('signing_keys').values(nextKey(w.now)).execute())
  await w.must(`db backup ${w.backup}`)
  const file = join(w.home, 'keys/root.key')
  const text = readFileSync(file, 'utf8')
  const log = join(w.home, 'commands.log')
  writeFileSync(log, `${JSON.stringify({ time: (w.now - 1) * 1000, msg: 'serving' })}\n`)
  appendFileSync(log, (await w.must('key revoke --all --yes')).stderr)
  // The log does not tell of this one. And the new root key has not come to this machine.
  await w.must('user create bob --password-stdin', password)
  await w.must('user disable ada')
  writeFileSync(file, text)
  const restore = `db restore ${w.backup} --revocations ${log} --yes`
  t.match(await w.run(restore), { code: 1, stderr: /users that were disabled: ada\nNothing was changed/ })
  t.equal(readFileSync(file, 'utf8'), text, 'which is true')

  t.match(await w.run(`${restore} --accept-unrevoked`), { code: 0 })
  t.match(readFileSync(file, 'utf8'), new RegExp(`^# root key \\w+\n[\\w-]{43}\n${text}$`))
  t.match(await w.run('doctor'), { code: 0 }, 'the database is under the new one')

  const copy = join(w.home, 'copy.sqlite')
  copyFileSync(w.backup, copy)
  await w.open(w.file, async db => {
    await db.sql.selectFrom('installation').selectAll().execute()
    let isReady = false
    const state = replaceDatabase(w.file, copy, `${w.file}.kept`, () => (isReady = true))
    t.strictSame([state, isReady], ['used', false], 'nor is it when somebody uses the database after all')
  })
})

t.test('a new beginning that was made since the backup is made again', async t => {
  const w = await quiet(t)
  const ada = await w.begin('ada')
  const addKey = (kid: string) =>
    w.open(w.file, db =>
      db.sql
        .insertInto('signing_keys')
        .values({ ...nextKey(w.now), kid })
        .execute(),
    )
  await addKey('stolen')
  await w.must(`db backup ${w.backup}`)
  const rootKeyId = () =>
    w.open(w.file, async db => {
      const record = await findInstallation(db)
      return record?.root_key_id
    })
  const stolen = await rootKeyId()
  const log = join(w.home, 'commands.log')
  writeFileSync(log, `${JSON.stringify({ time: (w.now - 1) * 1000, msg: 'serving' })}\n`)
  appendFileSync(log, (await w.must('key revoke --all --yes')).stderr)
  const renewed = await rootKeyId()
  t.not(renewed, stolen)

  const restore = `db restore ${w.backup} --revocations ${log}`
  t.match(await w.run(restore), { code: 1, stderr: /all begins anew, as by `mintmark key revoke --all`/ })
  const { replayed } = (await w.must(`${restore} --yes --json`)).json()
  t.match(replayed, { sessions_revoked: 1, keys_revoked: ['stolen'] })
  t.equal(await rootKeyId(), renewed, 'the database is under the root key of then, not under the stolen one')
  t.equal(await w.stateOf(ada), 'ended')

  const bob = await w.begin('bob')
  await w.must(`db backup ${w.backup}-2`)
  await w.must(`db restore ${w.backup}-2 --revocations ${log} --yes`)
  t.equal(await w.stateOf(bob), 'living', 'who logged in after it, and is in the backup, goes on')
})
