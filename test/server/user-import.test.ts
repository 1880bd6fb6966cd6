import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openAdmin } from '../../src/admin/admin.ts'
import { importUsers } from '../../src/admin/bulk/import.ts'
import type { RefusedEntry } from '../../src/admin/bulk/parts.ts'
import { deleteUser } from '../../src/admin/users.ts'
import { databaseClock } from '../../src/clock.ts'
import { readImportedHash } from '../../src/users/imported-hashes.ts'
import { openImportedSample } from '../../src/users/imported-sample.ts'
import { commandLine } from '../helpers/cli.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { handClock } from '../helpers/hand-clock.ts'
import { besideEnv, startServer, type TestServer } from '../helpers/server.ts'

const password = 'correct horse bätt€ry'
const data = join(import.meta.dirname, '../data')
const hashes: Readonly<Record<string, string>> = JSON.parse(
  readFileSync(join(data, 'password-hashes.json'), 'utf8'),
)
const hash = hashes['passlib pbkdf2_sha256'] ?? ''

/** A server, and the command line beside it. */
async function beside(t: Test, env: Readonly<Record<string, string>>) {
  const server = await startServer(t, env)
  const { call, home } = commandLine(t)
  const settings = { ...besideEnv(server), MINTMARK_ISSUER: 'https://as.example' }
  const file = (name: string, content: string) => {
    writeFileSync(join(home, name), content)
    return join(home, name)
  }
  const mintmark = (...args: readonly string[]) => call(args, { env: settings })
  return { server, file, mintmark }
}

/** What `user export` prints, by user names. */
function exported(stdout: string): Map<string, any> {
  const users = stdout.split('\n').filter(line => line !== '')
  return new Map(users.map(line => JSON.parse(line)).map(user => [user.username, user]))
}

const lines = (...entries: readonly (object | string)[]) =>
  entries.map(entry => `${typeof entry === 'string' ? entry : JSON.stringify(entry)}\n`).join('')

await forEachEngine(t, 'users of another system log in with the passwords that they had', async (t, env) => {
  const { server, file, mintmark } = await beside(t, env)
  const client = await server.client('web')
  const entries = Object.entries(hashes).map(([program, hash], i) => ({
    username: `user-${i}`,
    password_hash: hash,
    nickname: program,
  }))
  const imported = await mintmark('user', 'import', file('users.jsonl', lines(...entries)), '--json')
  t.equal(imported.code, 0, imported.stderr)
  t.match(imported.json(), { users_created: entries.length, entries_refused: 0 })
  const stored = async () =>
    new Map(
      (await server.ctx.db.sql.selectFrom('users').select(['username', 'password_hash']).execute()).map(
        ({ username, password_hash }) => [username, password_hash],
      ),
    )
  for (const stands of (await stored()).values()) {
    t.match(stands, /^\$imported\$[\w-]+$/, 'no hash is stored bare')
  }
  for (const { username, nickname } of entries) {
    const right = nickname === 'firebase/scrypt' ? 'user1password' : password
    const wrong = await server.post('/token', {
      grant_type: 'password',
      username,
      password: `${right}!`,
      ...client.form,
    })
    t.equal(wrong.statusCode, 400, nickname)
    await server.logIn(client, { username, password: right })
    await server.logIn(client, { username, password: right })
  }
  for (const stands of (await stored()).values()) t.match(stands, /^\$argon2id\$/, 'each is ours now')
  t.match(
    await server.ctx.db.sql
      .selectFrom('audit')
      .select(['detail', 'actor'])
      .where('event', '=', 'users_imported')
      .execute(),
    [{ detail: new RegExp(`"users":${entries.length}`), actor: /^command / }],
  )
})

await forEachEngine(t, 'a Keycloak realm is imported as it was exported', async (t, env) => {
  const { server, mintmark } = await beside(t, env)
  const client = await server.client('web')
  const imported = await mintmark('user', 'import', join(data, 'keycloak-realm.json'))
  t.match(imported.stdout, /4 users added, 0 refused/)
  for (const username of ['ada', 'bob', 'cyd', 'ada@example.com']) {
    await server.logIn(client, { username, password })
  }
  const users = exported((await mintmark('user', 'export')).stdout)
  t.match(users.get('ada'), {
    sub: '0a1b2c3d-0000-4000-8000-000000000001',
    roles: ['default-roles-acme', 'reader'],
    claims: { given_name: 'Ada', family_name: 'Lovelace', email: 'ada@example.com', email_verified: true },
    created_at: 1_700_000_000,
  })
  t.type(users.get('dan').disabled_at, 'number', 'who was disabled stays so')
})

await forEachEngine(
  t,
  'what is no user is named with its reason, and all others are added',
  async (t, env) => {
    const { server, file, mintmark } = await beside(t, env)
    await server.user('Alice')
    const twice = '0a1b2c3d-0000-4000-8000-000000000001'
    const path = file(
      'users.jsonl',
      `\ufeff${lines(
        { username: 'bob', email: 'bob@example.com', email_verified: true },
        { username: 'ALICE' },
        { username: 'bob' },
        { username: 'BOB@example.com' },
        '{"username": "carol",',
        '[]',
        { name: 'Dora' },
        { username: ' erin' },
        { username: 'frank', password_hash: 'hunter2-is-no-hash' },
        { username: 'gina', password_hash: '$pbkdf2-sha256$2147483647$BmAsJSQkxDinFILQGuP8Xw$aaaa' },
        { username: 'hans', email: 'nowhere' },
        { username: 'ines', usernme: 'x' },
        { username: 'jan', sub: 'no-uuid' },
        { username: 'kim', sub: twice },
        { username: 'leo', sub: twice },
        { username: 'mia', roles: ['a b'] },
        { username: 'nils', filler: 'x'.repeat(70_000) },
        '',
        { username: 'olga', roles: 'reader editor', disabled: true, claims: { locale: 'de' } },
      )}`,
    )
    const imported = await mintmark('user', 'import', path)
    t.equal(imported.code, 1, 'a script notices')
    t.match(imported.stdout, /3 users added, 15 refused/)
    for (const line of [
      /^entry 2 \(ALICE\): there is a user of this name already$/m,
      /^entry 3 \(bob\): there is a user of this name already$/m,
      /^entry 4 \(BOB@example.com\): there is a user of this name already$/m,
      /^entry 5: the line is no JSON$/m,
      /^entry 6: it is no JSON object$/m,
      /^entry 7: username is missing/m,
      /^entry 8 \( erin\): the user name begins or ends with a space$/m,
      /^entry 9 \(frank\): the form of the hash is not known/m,
      /^entry 10 \(gina\): PBKDF2 of more than 3000000 rounds would take too long/m,
      /^entry 11 \(hans\): email takes a mail address/m,
      /^entry 12 \(ines\): "usernme" is not known; did you mean username\?$/m,
      /^entry 13 \(jan\): sub takes a UUID/m,
      /^entry 15 \(leo\): there is a user of this sub already$/m,
      /^entry 16 \(mia\): a role is visible ASCII/m,
      /^entry 17: the line is longer than 65536 bytes$/m,
    ]) {
      t.match(imported.stderr, line)
    }
    t.notMatch(imported.stderr, 'hunter2', 'nothing of a hash is shown')
    const users = exported((await mintmark('user', 'export')).stdout)
    t.strictSame([...users.keys()].toSorted(), ['Alice', 'bob', 'kim', 'olga'])
    t.match(users.get('olga'), { roles: ['reader', 'editor'], claims: { locale: 'de' } })

    const again = await mintmark('user', 'import', path)
    t.match(again.stdout, /0 users added, 18 refused/, 'once more adds nothing')
  },
)

t.test('CSV has a header, and empty cells say nothing', async t => {
  const { file, mintmark } = await beside(t, {})
  const path = file(
    'users.csv',
    '\ufeffusername,email,email_verified,roles,password_hash,address\r\n' +
      `ada,ada@example.com,true,"reader editor","${hashes['argon2 ID']}",\r\n` +
      'bob,,,,,"{""country"":""DE""}"\r\n' +
      ',nobody@example.com,,,,\r\n',
  )
  const imported = await mintmark('user', 'import', path)
  t.match(imported.stdout, /2 users added, 1 refused/)
  const users = exported((await mintmark('user', 'export', '--with-hashes')).stdout)
  t.match(users.get('ada'), {
    roles: ['reader', 'editor'],
    claims: { email: 'ada@example.com', email_verified: true },
    password_hash: hashes['argon2 ID'],
  })
  t.match(users.get('bob'), { claims: { address: { country: 'DE' } } })
  t.notOk('password_hash' in users.get('bob'))

  const open = await mintmark('user', 'import', file('open.csv', 'username,email\nada,"ada@example.com\n'))
  t.equal(open.code, 1)
  t.match(open.stderr, /open.csv, line 2: a quote is not closed/)
  const broken = await mintmark(
    'user',
    'import',
    file('broken.json', '{"users": [{"password_hash": "secret"'),
  )
  t.match(broken.stderr, /broken.json is no JSON document/)
  t.notMatch(broken.stderr, 'secret')
  const other = await mintmark('user', 'import', file('other.json', '{"realm": "x"}'))
  t.match(other.stderr, /neither an array of users nor an object with `users`/)
  t.match((await mintmark('user', 'import', 'nowhere.jsonl')).stderr, /nowhere.jsonl: there is no such file/)
})

await forEachEngine(
  t,
  'an export is imported elsewhere under the same root key, hashes included',
  async (t, env) => {
    const { server, file, mintmark } = await beside(t, env)
    const ada = await server.user('ada', 'reader')
    await mintmark('user', 'import', file('more.jsonl', lines({ username: 'bob', password_hash: hash })))
    const bare = (await mintmark('user', 'export')).stdout
    t.notMatch(bare, /password_hash|root_key_id/, 'no hashes without --with-hashes')
    const { stdout } = await mintmark('user', 'export', '--with-hashes')
    await mintmark('user', 'delete', 'ada')
    await mintmark('user', 'delete', 'bob')
    t.match((await mintmark('user', 'import', file('all.jsonl', stdout))).stdout, /2 users added, 0 refused/)
    const client = await server.client('web')
    await server.logIn(client, ada)
    await server.logIn(client, { username: 'bob', password })

    const [, rootKeyId] = /"root_key_id":"(\w+)"/.exec(stdout) ?? []
    const [salt, rest] = ['c29tZXNhbHQxMjM0NTY', 'A'.repeat(43)]
    const dear = `$argon2id$v=19$m=67108864,t=1,p=1$${salt}$${rest}`
    const eve = { username: 'eve', password_hash: dear, root_key_id: rootKeyId }
    t.match(
      (await mintmark('user', 'import', file('dear.jsonl', lines(eve)))).stderr,
      /\(eve\): argon2 with more than 256 MiB.* would take too long/,
      'one of our own has the same bounds',
    )

    const foreign = stdout.replaceAll(/"root_key_id":"\w+"/g, '"root_key_id":"00000000"')
    await mintmark('user', 'delete', 'ada')
    const refused = await mintmark('user', 'import', file('foreign.jsonl', foreign))
    t.match(
      refused.stderr,
      /\(ada\): its password_hash needs a root key that is not in the file of root keys/,
    )
  },
)

/** Imports as an act, so that it can be interrupted where the test wants. */
async function openImporter(t: Test, server: TestServer) {
  const { config } = server.ctx
  const line = () => {}
  const admin = await openAdmin(
    {
      config,
      clock: databaseClock(handClock()),
      log: { info: line, warn: line },
      actor: { kind: 'command', user: 'root' },
    },
    { mayCreate: false },
  )
  t.teardown(() => admin.db.close())
  const refused: RefusedEntry[] = []
  return { admin, refused }
}

await forEachEngine(t, 'an import that was interrupted goes on where it was', async (t, env) => {
  const { server, file } = await beside(t, env)
  const names = Array.from({ length: 2600 }, (_, i) => `user-${i}`)
  const path = file(
    'users.jsonl',
    lines(...names.map((username, i) => (i % 1000 === 7 ? 'broken' : { username }))),
  )
  const { admin, refused } = await openImporter(t, server)
  const options = { onRefused: (entry: RefusedEntry) => refused.push(entry), signal: AbortSignal.abort() }
  const showProgress = () => ({ at: () => {}, end: () => {} })
  const first = await importUsers(admin, path, { ...options, showProgress })
  t.equal(first.isDone, false)
  // As a SIGKILL would: between two transactions, and without a word.
  const killed = importUsers(admin, path, {
    ...options,
    signal: new AbortController().signal,
    showProgress: () => ({
      at: done => {
        if (done > 1500) throw new Error('killed')
      },
      end: () => {},
    }),
  })
  await t.rejects(killed, { message: 'killed' })
  const last = await importUsers(admin, path, {
    ...options,
    signal: new AbortController().signal,
    showProgress,
  })
  t.match(last, { created: 2597, refused: 3, isDone: true })
  t.ok(last.resumedAfter > 1500)
  t.strictSame(
    refused.map(({ entry }) => entry),
    [8, 1008, 2008],
    'each broken entry was told once',
  )
  const { count } = await server.ctx.db.sql
    .selectFrom('users')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow()
  t.equal(Number(count), 2597)
})

await forEachEngine(t, 'two imports of one file at once add nobody twice', async (t, env) => {
  const { server, file } = await beside(t, env)
  const path = file(
    'users.jsonl',
    lines(...Array.from({ length: 1500 }, (_, i) => ({ username: `user-${i}` }))),
  )
  const showProgress = () => ({ at: () => {}, end: () => {} })
  const run = async () => {
    const { admin } = await openImporter(t, server)
    const signal = new AbortController().signal
    return importUsers(admin, path, { onRefused: () => {}, signal, showProgress })
  }
  const outcomes = await Promise.allSettled([run(), run()])
  t.ok(outcomes.some(({ status }) => status === 'fulfilled'))
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected') {
      t.match(outcome.reason, { name: 'Refusal', text: 'another process imports the same file' })
    }
  }
  const rows = await server.ctx.db.sql.selectFrom('imports').selectAll().execute()
  t.match(rows, [{ created: 1500, refused: 0, lines: 1500 }])
})

t.test('invariant 15: an unknown name takes the time of a user, imported or not', async t => {
  const { server, file, mintmark } = await beside(t, {})
  const { db, rootKeys, users } = server.ctx
  const { passwords } = users
  const { sample, jobs } = openImportedSample({ db, rootKeys })
  const look = async () => {
    for (const { run } of jobs) await run(new AbortController().signal)
    const names = Array.from({ length: 1000 }, (_, i) => `nobody-${i}`)
    const likenesses = names.map(name => sample.likenessOf(name))
    return likenesses.map(like => like && readImportedHash(passwords.unwrap(like).hash).cost)
  }
  t.ok(
    (await look()).every(cost => cost === undefined),
    'where nobody was imported',
  )
  for (let i = 0; i < 3; i++) await server.user(`own-${i}`)
  const imported = [hash, hashes['bcrypt 2b'], hash].map((password_hash, i) => ({
    username: `imported-${i}`,
    password_hash,
  }))
  await mintmark('user', 'import', file('users.jsonl', lines(...imported)))
  const costs = await look()
  const count = (cost: string | undefined) => costs.filter(other => other === cost).length
  t.ok(count(undefined) > 400 && count(undefined) < 600, 'half of the users have one of our own')
  t.ok(count('bcrypt 05') > 100 && count('bcrypt 05') < 240)
  t.ok(count('pbkdf2 sha256 1000 32') > 250 && count('pbkdf2 sha256 1000 32') < 420)
  t.strictSame(await look(), costs, 'each name is always of the same kind')

  t.equal(await passwords.verify(undefined, password, undefined, 'nobody-1'), false)
})

await forEachEngine(
  t,
  'sessions of a user who was deleted, and comes back by an import, stay ended',
  async (t, env) => {
    const { server, file } = await beside(t, env)
    const client = await server.client('web')
    const ada = await server.user()
    const { refresh_token } = await server.logIn(client, ada)
    const { admin } = await openImporter(t, server)
    await deleteUser(admin, 'ada', { stepsMax: 0 })
    const showProgress = () => ({ at: () => {}, end: () => {} })
    const path = file('users.jsonl', lines({ username: 'ada', sub: ada.sub }))
    const signal = new AbortController().signal
    t.match(await importUsers(admin, path, { onRefused: () => {}, signal, showProgress }), { created: 1 })
    const refreshed = await server.post('/token', {
      grant_type: 'refresh_token',
      refresh_token,
      ...client.form,
    })
    t.equal(refreshed.statusCode, 400, 'whose end no row tells yet')
    t.equal(refreshed.json().error, 'invalid_grant')
  },
)
