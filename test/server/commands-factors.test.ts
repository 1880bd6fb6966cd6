import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { openDatabase } from '../../db/open-database.ts'
import { findUser } from '../../db/users/users.ts'
import { newUuid, formatUuid } from '../../src/protocol/secrets.ts'
import { commandLine } from '../helpers/cli.ts'
import { withApp } from '../helpers/second-factors.ts'
import { besideEnv, startServer } from '../helpers/server.ts'

t.test('second factors are listed, and removed where one is lost', async t => {
  const { home, call } = commandLine(t)
  await call('db migrate')
  await call('user create alice --password-stdin', { input: 'a long enough one' })
  const db = openDatabase({ engine: 'sqlite', file: join(home, 'db/mintmark.sqlite') })
  t.teardown(() => db.close())
  const alice = await findUser(db, 'alice')
  if (!alice) throw new Error('unreachable')
  const user_id = alice.id
  const now = Math.floor(Date.now() / 1000)
  const [phone, key] = [newUuid(now), newUuid(now)]
  const add = async () => {
    const bytes = Buffer.alloc(16)
    const at = { created_at: now, used_at: null }
    await db.sql
      .insertInto('totps')
      .values({ user_id, secret: bytes, root_key_id: 'aaaaaaaa', last_step: 0, ...at })
      .execute()
    const codes = [1, 2].map(() => ({ id: newUuid(now), user_id, salt: bytes, hash: bytes, ...at }))
    await db.sql.insertInto('recovery_codes').values(codes).execute()
    for (const [id, name] of [
      [phone, 'Phone'],
      [key, 'Key\u001b[31m'],
    ] as const) {
      const of = { id, user_id, credential_id: id, name, public_key: bytes, counter: 0, spent: '', ...at }
      const more = { transports: '', rp_id: 'as.example', aaguid: '', is_synced: 0 }
      await db.sql
        .insertInto('passkeys')
        .values({ ...of, ...more })
        .execute()
    }
  }
  const nothing = { password: true, passkeys: [], totp: null, recovery_codes_left: 0 }
  t.strictSame((await call('user factor list --json alice')).json(), nothing)
  t.match(await call('user factor list alice'), { stdout: 'The user alice has no second factor.\n' })
  await add()
  const listed = await call('user factor list alice')
  t.match(listed.stdout, new RegExp(`passkey ${formatUuid(phone)}  Phone, for [^,]+, last used never`))
  t.match(listed.stdout, /totp {2}since [^]*recovery-codes {2}2 left/)
  t.notMatch(listed.stdout, /\u001b/)

  t.match(await call('user factor remove alice sms'), {
    code: 1,
    stderr: /a factor is totp, recovery-codes, all/,
  })
  t.match(await call('user factor remove bob totp'), { code: 1, stderr: /there is no user bob/ })
  t.match((await call(`user factor remove --json alice ${formatUuid(phone)}`)).json(), {
    passkeys: [{ id: formatUuid(key) }],
    recovery_codes_left: 2,
  })
  const again = await call(`user factor remove alice ${formatUuid(phone)}`)
  t.match(again, { code: 1, stderr: /alice has no such factor/ })
  t.match((await call('user factor remove --json alice totp')).json(), { totp: null, recovery_codes_left: 2 })
  t.strictSame(
    (await call(`user factor remove --json alice ${formatUuid(key)}`)).json(),
    nothing,
    'recovery codes go with the last that they stand in for',
  )
  await add()
  t.match((await call('user factor remove --json alice recovery-codes')).json(), { recovery_codes_left: 0 })
  t.strictSame((await call('user factor remove --json alice all')).json(), nothing)
  const events = (await call('audit list --json')).json() as { event: string; actor: string }[]
  const removals = events.filter(({ event }) => event.endsWith('_removed'))
  t.strictSame(removals.map(({ event }) => event).sort(), [
    ...Array(4).fill('passkey_removed'),
    'recovery_codes_removed',
    'totp_removed',
    'totp_removed',
  ])
  t.ok(removals.every(({ actor }) => actor.startsWith('command ')))

  await add()
  await call('user delete alice')
  for (const table of ['totps', 'recovery_codes', 'passkeys'] as const)
    t.strictSame(
      await db.sql.selectFrom(table).select('user_id').execute(),
      [],
      `${table} go with their user`,
    )
})

t.test('the end of all keys says what it means for authenticator apps', async t => {
  const server = await startServer(t)
  await withApp(server, await server.user('ada'))
  const { call } = commandLine(t)
  const env = { MINTMARK_ISSUER: 'https://as.example', ...besideEnv(server) }
  const kept = await call('key revoke --all --keep-root-key --yes --json', { env })
  t.match(kept.json(), { totps_lost: 0, totps_under_older_root_keys: 0 })
  const told = await call('key revoke --all --yes', { env })
  t.match(told.stdout, 'The secrets of 1 authenticator app are sealed under an older root key')
  // The older ones are below the first line.
  const file = server.ctx.config.rootKeyFile
  const lines = readFileSync(file, 'utf8').split('\n')
  writeFileSync(file, `${lines.find(line => line !== '' && !line.startsWith('#'))}\n`)
  const lost = await call('key revoke --all --yes', { env })
  t.match(lost.stdout, 'The codes of 1 authenticator app cannot be checked')
})
