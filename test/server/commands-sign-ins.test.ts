import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openDatabase } from '../../db/open-database.ts'
import { findSession } from '../../db/sessions/sessions.ts'
import { findUser } from '../../db/users/users.ts'
import { formatUuid } from '../../src/protocol/secrets.ts'
import { commandLine } from '../helpers/cli.ts'
import { beginSession } from '../helpers/records.ts'
import { beginSignIn } from '../helpers/sign-ins.ts'

/** An installation with two users, each logged in in two browsers. */
async function world(t: Test) {
  const { home, call } = commandLine(t)
  await call('db migrate')
  await call('client create --id web --public --grant password --scope read')
  for (const name of ['alice', 'bob'])
    await call(`user create ${name} --password-stdin`, { input: 'long enough' })
  const db = openDatabase({ engine: 'sqlite', file: join(home, 'db/mintmark.sqlite') })
  t.teardown(() => db.close())
  const [alice, bob] = [await findUser(db, 'alice'), await findUser(db, 'bob')]
  if (!alice || !bob) throw new Error('unreachable')
  const now = Math.floor(Date.now() / 1000)
  const times = { created_at: now, auth_time: now, used_at: now, expires_at: now + 86_400 }
  const begin = (user: { readonly id: Buffer }) => beginSignIn(db, user.id, times)
  const signIns = [await begin(alice), await begin(alice), await begin(bob), await begin(bob)] as const
  await beginSignIn(db, bob.id, { ...times, expires_at: now })
  const left = async () => (await call('sign-in list --json')).json().length
  return { home, call, db, alice, bob, now, signIns, left }
}

t.test('sign-ins are listed', async t => {
  const { call, alice, now, signIns } = await world(t)
  const id = formatUuid(signIns[0].id)
  const listed = (await call(`sign-in list --json --id ${id}`)).json()
  t.strictSame(listed, [
    {
      sign_in: id,
      sub: formatUuid(alice.id),
      username: 'alice',
      amr: ['pwd'],
      persistent: false,
      auth_time: now,
      created_at: now,
      used_at: now,
      expires_at: now + 86_400,
      first_address: '192.0.2.1',
      last_address: '192.0.2.1',
      user_agent: 'Lynx',
    },
  ])
  t.equal((await call('sign-in list --json')).json().length, 4, 'those that live')
  for (const user of ['alice', formatUuid(alice.id)])
    t.equal((await call(`sign-in list --json --user ${user}`)).json().length, 2, user)
  t.match((await call('sign-in list')).stdout, /^SIGN-IN +USER +LOGGED IN[^]*alice[^]*192\.0\.2\.1 +Lynx\n/)
  t.match(await call('sign-in list --user carol'), { code: 1, stderr: /there is no user carol/ })
  t.match(await call('sign-in list --id x'), { code: 2, stderr: /The id of a sign-in is a UUID/ })
})

t.test('sign-ins are ended', async t => {
  const { call, db, alice, signIns, left } = await world(t)
  const id = formatUuid(signIns[2].id)
  for (const [options, message] of [
    ['', /say which sign-ins: by --user or --id, or --all of them/],
    ['--all --user alice', /say which sign-ins/],
  ] as const)
    t.match(await call(`sign-in revoke ${options} --yes`.replace('  ', ' ')), { code: 2, stderr: message })
  t.match(await call('sign-in revoke --all'), { code: 2, stderr: /--yes/ }, 'it asks')
  t.equal(await left(), 4)

  t.strictSame((await call(`sign-in revoke --json --yes --id ${id}`)).json(), {
    sign_ins_revoked: 1,
    sign_in: id,
  })
  t.match(await call(`sign-in revoke --yes --id ${id}`), { code: 1, stderr: /no such sign-in lives/ })
  t.match(await call('sign-in revoke --yes --user alice'), {
    code: 0,
    stdout: 'Ended 2 sign-ins of alice, and the sessions that end with them.\n',
  })
  t.strictSame((await call('sign-in revoke --json --yes --user alice')).json(), {
    sign_ins_revoked: 0,
    sub: formatUuid(alice.id),
  })
  t.strictSame((await call('sign-in revoke --json --yes --all')).json(), { sign_ins_revoked: 1 })
  t.equal(await left(), 0)
  const told = (await call('audit list --json --event sign_in_ended')).json()
  t.match(told, Array(4).fill({ event: 'sign_in_ended', detail: { reason: 'command' } }))
  t.equal((await db.sql.selectFrom('sign_ins').select('id').execute()).length, 1, 'what has expired is swept')
})

t.test('a backup that is restored ends all sign-ins, and what ended with one ends again', async t => {
  const { home, call, db, alice, signIns, now } = await world(t)
  const [tied, other] = [await beginSession(db, alice.id), await beginSession(db, alice.id, 1)]
  const times = {
    auth_time: now,
    rotated_at: now,
    expires_at: now + 86_400,
    absolute_expires_at: now + 86_400,
  }
  await db.sql.updateTable('sessions').set(times).execute()
  await db.sql
    .insertInto('sign_in_sessions')
    .values({ session_id: tied, sign_in_id: signIns[0].id })
    .execute()
  const backup = join(home, 'backup.sqlite')
  t.match(await call(`db backup ${backup}`), { code: 0 })
  const { stderr } = await call('sign-in revoke --user alice --yes')
  t.match(await findSession(db, tied), { revoke_reason: 'command' })
  t.match(stderr, new RegExp(`"event":"session_revoked","sid":"${formatUuid(tied)}"`))
  const log = join(home, 'command.log')
  // A log goes back beyond the backup, which may have been made in the second before.
  writeFileSync(log, `${JSON.stringify({ level: 30, time: now * 1000, msg: 'serving' })}\n${stderr}`)
  await db.close()

  t.match(await call(`db restore ${backup} --revocations ${log} --yes`), { code: 0 })
  const restored = openDatabase({ engine: 'sqlite', file: join(home, 'db/mintmark.sqlite') })
  t.teardown(() => restored.close())
  t.match(await findSession(restored, tied), { revoke_reason: 'command' })
  t.match(await findSession(restored, other), { revoked_at: null }, 'the other sessions go on')
  t.strictSame((await call('sign-in list --json')).json(), [], 'and people log in again')

  const tie = { session_id: other, sign_in_id: signIns[0].id }
  await restored.sql.insertInto('sign_in_sessions').values(tie).execute()
  t.match(await call('sign-in revoke --user alice --yes'), { code: 0 })
  t.match(await findSession(restored, other), { revoke_reason: 'command' }, 'what goes on can be ended so')
})

t.test('what ends every session of a user ends the sign-ins too', async t => {
  const { call, left } = await world(t)
  await call('session revoke --user alice --yes')
  t.equal(await left(), 2)
  await call('session revoke --all --yes')
  t.equal(await left(), 0)
})
