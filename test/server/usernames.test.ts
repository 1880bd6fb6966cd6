import { join } from 'node:path'
import fc from 'fast-check'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import type { Database } from '../../db/database.ts'
import { migrate, thisProgram, type Program } from '../../db/installation/migrate.ts'
import { NamesAlikeError } from '../../db/installation/names-alike.ts'
import { openDatabase } from '../../db/open-database.ts'
import { comparedName, comparedNamesOf } from '../../db/users/compared-name.ts'
import { findKnownSources, setKnownSources } from '../../db/users/known-sources.ts'
import { listUnnamed, NameTakenError, nameUser } from '../../db/users/user-names.ts'
import { changeUser, deleteUser, findUser, insertUser } from '../../db/users/users.ts'
import { namesAlike } from '../../src/admin/doctor/usernames.ts'
import { loadConfig } from '../../src/config/load.ts'
import { newUuid } from '../../src/protocol/secrets.ts'
import { newUsernameProblem } from '../../src/protocol/username.ts'
import { strangersLimit } from '../../src/users/guess-limits.ts'
import { anyCharacter } from '../helpers/any-character.ts'
import { commandLine } from '../helpers/cli.ts'
import { forEachEngine, postgresEnv, type EngineEnv } from '../helpers/engines.ts'
import { scratchFolder } from '../helpers/scratch.ts'
import { startServer } from '../helpers/server.ts'

t.test(
  'RFC 8265 §3.3: user names are compared in one width, in lower case and in one normal form',
  async t => {
    const cases: [title: string, name: string, mapped: string][] = [
      ['lower case stays', 'alice', 'alice'],
      ['capitals', 'Alice.MÜLLER', 'alice.müller'],
      ['wide letters', 'Ａｌｉｃｅ＠１', 'alice@1'],
      ['a wide space', 'a\u3000b', 'a b'],
      ['narrow katakana, with its mark', 'ｶﾞ', 'ガ'],
      ['letters and marks apart', 'U\u0308', 'ü'],
      ['Greek, with its last sigma', 'ΣΑΣ', 'σας'],
      ['a ligature', 'ﬁﬂ', 'fifl'],
      ['a letter of mathematics', 'ℌ𝐚', 'ha'],
      ['sharp s, which is another letter', 'STRASSE ß', 'strasse ß'],
      ['a domain in two scripts', 'Ada@BÜCHER.example', 'ada@xn--bcher-kva.example'],
      ['and as DNS has it', 'ada@XN--bcher-kva.example', 'ada@xn--bcher-kva.example'],
      ['a domain that is none stays', 'ada@1', 'ada@1'],
      ['a sign that is a phrase', 'ﷺ', 'صلى الله عليه وسلم'],
      ['but no name is too long for an index', 'ﷺ'.repeat(255), 'ﷺ'.repeat(255)],
    ]
    for (const [title, name, mapped] of cases) t.equal(comparedName(name), mapped, title)
  },
)

t.test('what is compared once is as it is compared', async t => {
  const odd = fc.constantFrom(
    ...'aAΣσςϹϲİIıiﬁﷺ＠@。．.ßẞ\u0345\u0307\u030c\u0308JǄℌ㌀ｶﾞ\uffa1Åéü',
    'xn--',
    '𝅘𝅥𝅮',
  )
  const text = fc.oneof(
    fc.array(odd, { maxLength: 40 }).map(parts => parts.join('')),
    fc.string({ unit: anyCharacter, maxLength: 60 }),
    fc.tuple(fc.array(odd), fc.domain()).map(([parts, domain]) => `${parts.join('')}@${domain}`),
  )
  const isKept = fc.property(text, name => {
    const once = comparedName(name)
    return comparedName(once) === once && once.length <= 800
  })
  t.doesNotThrow(() => fc.assert(isKept, { numRuns: 2000 }), 'and is not too long for an index')
})

t.test('a mail address is a name once it is verified', async t => {
  const namesOf = (claims: unknown) =>
    comparedNamesOf({ username: 'Ada', claims: JSON.stringify(claims) }).map(({ name }) => name)
  t.strictSame(namesOf({ email: 'ADA@example.com', email_verified: true }), ['ada', 'ada@example.com'])
  t.strictSame(namesOf({ email: 'ada@example.com' }), ['ada'])
  t.strictSame(namesOf({ email: 'ada@example.com', email_verified: false }), ['ada'])
  t.strictSame(namesOf({ email_verified: true }), ['ada'])
  t.strictSame(
    namesOf({ email: 'ada', email_verified: true }),
    ['ada'],
    'one that is the user name is one name',
  )
  t.strictSame(comparedNamesOf({ username: 'ada', claims: '["email_verified"' }).length, 1, 'damaged')
})

t.test(
  'RFC 8265 §3.3: a new name holds what the profile allows, and else it is said which rule refused',
  async t => {
    const fine = [
      'alice',
      'Alice Smith',
      'Zoë',
      'ada@example.com',
      'Ａｌｉｃｅ',
      'マリア・カラス',
      'cel·la',
      'ﾏﾘｱ',
      'σας',
    ]
    fine.push('שלום', 'שלום 12', 'سارة', 'दिव्या', '李小龙', 'a'.repeat(255), 'user+tag', 'strasse ß')
    for (const name of fine) t.equal(newUsernameProblem(name), undefined, name)
    const odd: [name: string, problem: RegExp][] = [
      ['', /is empty/],
      ['a'.repeat(256), /longer than 255 characters/],
      [' alice', /begins or ends with a space/],
      ['018f2f6e-0000-7000-8000-000000000000', /form of a UUID/],
      ['al\u200bice', /cannot be seen.*U\+200B/],
      ['al\u0000ice', /cannot be seen.*U\+0000/],
      ['al\u{e0080}', /cannot be seen.*U\+E0080/],
      ['ﬁona', /“ﬁ” \(U\+FB01\), which stands for “fi”: write that/],
      ['x²', /“²”.*stands for “2”/],
      ['alice😀', /“😀” \(U\+1F600\), which is no letter, digit or ASCII character/],
      ['a—b', /“—” \(U\+2014\), which is no letter/],
      ['a\u00a0b', /which stands for “ ”: write that/],
      ['a·b', /“·”.*belongs between two letters l/],
      ['a・b', /belongs into a Japanese name/],
      ['١۲', /no other kind of Arabic digits/],
      ['aliceשלום', /mixes letters that are written from the right/],
      ['12שלום', /must begin with a letter/],
      ['שלום!', /end with a letter or digit/],
    ]
    for (const [name, problem] of odd) t.match(newUsernameProblem(name) ?? '', problem, JSON.stringify(name))
  },
)

const now = 1_900_000_000

function userRow(username: string, claims: Record<string, unknown> = {}) {
  const id = newUuid(now)
  const rest = { password_hash: '', root_key_id: '', roles: '', epoch: 0, created_at: now, disabled_at: null }
  return { id, username, claims: JSON.stringify(claims), mail_epoch: 0, group_names: '', ...rest }
}

const verified = (email: string) => ({ email, email_verified: true })

/** As an older program adds a user beside this one. */
async function addWithoutNames(db: Database, ...users: ReturnType<typeof userRow>[]): Promise<void> {
  await db.sql.insertInto('users').values(users).execute()
}

const namesIn = async (db: Database) =>
  (await db.sql.selectFrom('user_names').select('name').orderBy('name').execute()).map(({ name }) => name)

await forEachEngine(t, 'a user is found by each spelling of each of its names', async (t, env) => {
  const { ctx } = await startServer(t, env)
  const { db } = ctx
  const found = async (name: string) => (await findUser(db, name))?.username
  const before = await namesIn(db)
  const ownNames = async () => (await namesIn(db)).filter(name => !before.includes(name))

  const alice = userRow('Alice', verified('Alice@BÜCHER.example'))
  t.ok(await insertUser(db, alice))
  for (const name of [
    'Alice',
    'alice',
    'ＡＬＩＣＥ',
    'alice@bücher.example',
    'ALICE@xn--bcher-kva.example',
  ]) {
    t.equal(await found(name), 'Alice', name)
  }
  t.equal(await found('alice\0'), undefined)
  await db.transactAtOnce(sql => setKnownSources(sql, { user_id: alice.id, sources: Buffer.of(1) }))
  t.strictSame(await findKnownSources(db, 'ALICE@bücher.example'), Buffer.of(1))
  t.equal(await findKnownSources(db, 'bob\0'), null)

  t.test('and nobody else gets one of them', async t => {
    t.equal(await insertUser(db, userRow('aLICE')), false)
    t.equal(
      await insertUser(db, userRow('alice@bücher.EXAMPLE')),
      false,
      'a user name that is a mail address',
    )
    t.equal(await insertUser(db, userRow('bob', verified('ALICE@bücher.example'))), false)
    t.equal(await found('bob'), undefined, 'nothing of it stays')
    const bob = userRow('bob', { email: 'alice@bücher.example' })
    t.ok(await insertUser(db, bob), 'while it is not verified, it is no name')
    const claims = JSON.stringify(verified('Alice@bücher.example'))
    await t.rejects(changeUser(db, bob, { claims, roles: 'x' }), NameTakenError)
    await t.rejects(changeUser(db, bob, { username: 'ALICE' }), NameTakenError)
    t.match(await findUser(db, 'bob'), { claims: bob.claims, roles: '' }, 'nothing was changed')
    t.strictSame(await ownNames(), ['alice', 'alice@xn--bcher-kva.example', 'bob'])
  })

  t.test('names follow what a user is called', async t => {
    t.ok(await changeUser(db, alice, { claims: JSON.stringify(verified('a@example.com')) }))
    t.equal(await found('alice@bücher.example'), undefined)
    t.equal(await found('A@example.com'), 'Alice')
    t.equal(await changeUser(db, alice, { roles: 'x' }), false, 'who was changed meanwhile')
    const changed = { ...alice, claims: JSON.stringify(verified('a@example.com')) }
    t.ok(await changeUser(db, changed, { username: 'Alice.Smith' }))
    t.equal(await found('alice'), undefined)
    t.equal(await found('alice.smith'), 'Alice.Smith')
    await deleteUser(db, alice.id, now)
    t.strictSame(await ownNames(), ['bob'])
    t.ok(await insertUser(db, userRow('ALICE.smith', verified('a@example.com'))), 'and are free in the end')
  })

  t.test('of users who want one name at once, one gets it', async t => {
    const all = ['zoe', 'Zoe', 'ZOE', 'ｚｏｅ', 'zOE'].map(name => insertUser(db, userRow(name)))
    t.equal((await Promise.all(all)).filter(isIn => isIn).length, 1)
  })
})

await forEachEngine(t, 'an older program adds and deletes users beside this one', async (t, env) => {
  const { ctx } = await startServer(t, env)
  const { db } = ctx
  const [old, gone] = [userRow('Old'), userRow('Gone', verified('gone@example.com'))]
  await addWithoutNames(db, old)
  t.equal((await findUser(db, 'Old'))?.username, 'Old')
  t.equal(await findUser(db, 'old'), undefined, 'by exactly its name')
  await db.transactAtOnce(sql => setKnownSources(sql, { user_id: old.id, sources: Buffer.of(1) }))
  t.strictSame(await findKnownSources(db, 'Old'), Buffer.of(1))

  t.ok(await insertUser(db, userRow('OLD')))
  t.equal((await findUser(db, 'Old'))?.username, 'Old', 'it stays who it is')
  t.equal((await findUser(db, 'OLD'))?.username, 'OLD')
  t.equal((await findUser(db, 'old'))?.username, 'OLD', 'any other spelling is that of the name')
  t.equal(await nameUser(db, old.id), false)
  await t.rejects(changeUser(db, userRow('x'), { username: 'Old' }), NameTakenError)

  await insertUser(db, gone)
  await db.sql.deleteFrom('users').where('id', '=', gone.id).execute()
  t.equal(await findUser(db, 'gone'), undefined)
  t.ok(await insertUser(db, userRow('gone', verified('GONE@example.com'))), 'a name that it has left is free')

  const late = userRow('Late', verified('late@example.com'))
  await addWithoutNames(db, late)
  const unnamed = []
  for await (const { username } of listUnnamed(db)) unnamed.push(username)
  t.strictSame(unnamed.sort(), ['Late', 'Old'])
  t.ok(await nameUser(db, late.id))
  t.equal((await findUser(db, 'LATE@example.com'))?.username, 'Late')
  t.equal(await nameUser(db, newUuid(now)), false)
})

/** The program of before. */
const earlier: Program = { migrations: new Map([...thisProgram.migrations].slice(0, 2)), oldestProgram: 1 }

/** A database as the program of before has left it. */
async function olderDatabase(t: Test, env: EngineEnv, home = scratchFolder(t)): Promise<Database> {
  const file = join(home, 'older.sqlite')
  const { databaseUrl } = loadConfig({ MINTMARK_DATABASE_URL: `sqlite:${file}`, ...env }, '/')
  const db = openDatabase(databaseUrl, { isPatient: true })
  t.teardown(() => db.close())
  await migrate(db, now, earlier)
  return db
}

async function addOlder(db: Database, ...users: ReturnType<typeof userRow>[]): Promise<void> {
  const rows = users.map(({ mail_epoch: _, group_names: __, ...row }) => row) as ReturnType<typeof userRow>[]
  await db.sql.insertInto('users').values(rows).execute()
}

for (const [engine, emptyEnv] of [
  ['SQLite', async () => ({})],
  ['PostgreSQL', postgresEnv],
] as const) {
  if (engine === 'PostgreSQL' && process.env['TEST_ENGINE'] === 'sqlite') continue

  t.test(`the migration gives all users their names (${engine})`, async t => {
    const db = await olderDatabase(t, await emptyEnv())
    for (let i = 0; i < 3; i++) {
      await addOlder(db, ...Array.from({ length: 900 }, (_, j) => userRow(`User ${i * 900 + j}`)))
    }
    await addOlder(db, userRow('Ada', verified('Ada@example.com')), userRow('ﬁn', { email: 'x@y' }))
    t.strictSame(await namesAlike(db), [], 'of whom none are alike')
    t.equal((await migrate(db, now))[0], '0003-factors')
    t.equal((await namesIn(db)).length, 2703)
    t.equal((await findUser(db, 'ADA@example.com'))?.username, 'Ada')
    t.equal((await findUser(db, 'FIN'))?.username, 'ﬁn', 'old names go on working')
    t.equal((await findUser(db, 'USER 2699'))?.username, 'User 2699')
  })

  t.test(`it is refused where names are alike, and changes nothing (${engine})`, async t => {
    const db = await olderDatabase(t, await emptyEnv())
    await addOlder(db, ...Array.from({ length: 1500 }, (_, i) => userRow(`User ${i}`)))
    await addOlder(db, userRow('user 3'), userRow('ＵＳＥＲ 3'), userRow('zoe', verified('z@example.com')))
    await addOlder(db, userRow('Z@example.com'), userRow('eve', verified('Z@EXAMPLE.com')))
    const alike = (await namesAlike(db)).map(names => names.toSorted())
    t.strictSame(
      alike.toSorted((a, b) => (a.join() < b.join() ? -1 : 1)),
      [
        ['User 3', 'user 3', 'ＵＳＥＲ 3'],
        ['Z@example.com', 'the mail address of eve', 'the mail address of zoe'],
      ],
    )
    const error: unknown = await migrate(db, now).catch((problem: unknown) => problem)
    if (!(error instanceof NamesAlikeError)) throw error
    t.equal(error.alike.count, 4)
    const pairs = error.alike.pairs.map(pair => pair.map(({ username, kind }) => `${kind} ${username}`))
    t.match(
      pairs.flat().toSorted().join(),
      /mail eve.*mail zoe.*username User 3.*username user 3.*ＵＳＥＲ 3/,
    )
    await t.rejects(db.sql.selectFrom('user_names').selectAll().execute(), 'nothing was made')
  })
}

t.test('doctor names users whose names are alike before the migration, which an admin decides', async t => {
  const cli = commandLine(t)
  const { call, home } = cli
  await call('db migrate')
  // As the program of before has left it.
  const db = openDatabase({ engine: 'sqlite', file: join(home, 'db/mintmark.sqlite') })
  await db.sql.schema.dropTable('user_names').execute()
  for (const table of ['passkeys', 'totps', 'recovery_codes', 'outbox']) {
    await db.sql.schema.dropTable(table).execute()
  }
  await db.sql.schema.alterTable('users').dropColumn('mail_epoch').execute()
  await db.sql.schema.alterTable('clients').dropColumn('acr').execute()
  await db.sql.schema.alterTable('clients').dropColumn('first_party').execute()
  await sql`delete from migrations where name = '0003-factors'`.execute(db.sql)
  await addOlder(db, userRow('alice'), userRow('Alice'), userRow('bob'), userRow('ＢＯＢ'))
  await addOlder(db, userRow('carol', verified('c@example.com')), userRow('dan', verified('C@example.com')))
  await db.close()

  const { findings } = (await call('doctor --json')).json()
  t.match(
    findings.find(({ check }: { check: string }) => check === 'user names'),
    {
      verdict: 'problem',
      text: /are one name from this version on: .*Alice and alice.*bob and ＢＯＢ.*the mail address of dan/,
      advice: /`mintmark db migrate --rename-user OLD=NEW`/,
    },
  )
  for (const command of ['db migrate', 'serve']) {
    const { code, stderr } = await call(command)
    t.equal(code, 1)
    for (const pair of [
      /[Aa]lice and [Aa]lice/,
      /(bob and ＢＯＢ|ＢＯＢ and bob)/,
      /the mail address of carol/,
    ]) {
      t.match(stderr, pair)
    }
    t.match(
      stderr,
      /Nothing was migrated: decide whose name it is: `mintmark db migrate --rename-user OLD=NEW`/,
    )
  }
  const refused: [decisions: string[], said: RegExp][] = [
    [['--rename-user', 'nobody=x'], /no user who is called exactly nobody, so nothing was migrated/],
    [['--rename-user', 'alice=bob'], /there is a user bob already/],
    [['--rename-user', 'alice=ﬁ'], /which stands for “fi”/],
    [['--rename-user', 'alice'], /It takes OLD=NEW/],
    [['--unverify-mail', 'nobody'], /no user who is called exactly nobody/],
    [['--rename-user', 'alice=alice.smith'], /bob and ＢＯＢ|ＢＯＢ and bob/],
  ]
  for (const [decisions, said] of refused) {
    const { code, stderr } = await call(['db', 'migrate', ...decisions])
    t.not(code, 0)
    t.match(stderr, said)
  }
  const decided = await call([
    ...['db', 'migrate', '--rename-user', 'alice=alice.smith', '--rename-user', 'ＢＯＢ=robert'],
    ...['--unverify-mail', 'dan'],
  ])
  t.match([decided.stderr, decided.code], ['', 0])
  t.match((await call('user list')).stdout, /Alice[^]*alice\.smith[^]*bob[^]*robert/)
  t.match((await call('audit list --event user_renamed --json')).json(), [
    { username: 'alice.smith', detail: { from: 'alice', to: 'alice.smith' } },
    { username: 'robert' },
  ])
  t.match((await call('audit list --event user_changed --json')).json(), [{ username: 'dan' }])
  t.notMatch((await call('doctor --json')).stdout, /"user names"/)
  const late = await call(['db', 'migrate', '--rename-user', 'Alice=x'])
  t.match([late.code, late.stderr], [1, /compares names already.*`mintmark user rename OLD NEW`/s])
})

t.test('commands take a name in any spelling, and show it as it was entered', async t => {
  const cli = commandLine(t)
  const { call, home } = cli
  await call('db migrate')
  const create = (...words: string[]) =>
    call(['user', 'create', ...words, '--password-stdin'], { input: 'correct horse' })
  t.match((await create('Alice', '--claim', 'email=Alice@example.com', 'email_verified=true')).code, 0)
  const refusals: [outcome: Promise<{ stderr: string }>, said: RegExp][] = [
    [create('alice'), /the user Alice has the name alice already: names are compared without case/],
    [create('Alice'), /there is a user Alice already/],
    [create('ALICE@example.com'), /the user Alice has the name ALICE@example\.com already/],
    [
      create('bob', '--claim', 'email=ALICE@example.com', 'email_verified=true'),
      /the mail address alice@example\.com is a name of the user Alice already/,
    ],
    [create('ﬁona'), /the user name holds “ﬁ” \(U\+FB01\), which stands for “fi”/],
  ]
  for (const [outcome, said] of refusals) t.match((await outcome).stderr, said)
  t.equal((await create('bob')).code, 0)
  t.match(
    (await call(['user', 'update', 'BOB', '--claim', 'email=alice@EXAMPLE.com', 'email_verified=true']))
      .stderr,
    /the mail address alice@example\.com is a name of the user Alice already/,
  )
  t.match((await call(['user', 'update', 'ALICE@example.com', '--role', 'editor'])).code, 0)
  t.match((await call('user list')).stdout, /Alice .*editor/)

  t.match((await call('user rename ALICE Alice.Smith')).stdout, /Renamed the user Alice to Alice\.Smith/)
  t.match((await call('user rename alice.smith BOB')).stderr, /the user bob has the name BOB already/)
  t.match(
    (await call('user rename alice.smith ALICE.smith')).stdout,
    /Renamed the user Alice\.Smith to ALICE\.smith/,
  )
  t.match((await call('user rename alice.smith ALICE.smith')).stdout, /The user is ALICE\.smith already/)
  t.match(
    (await call(['user', 'rename', 'alice.smith', 'a—b'])).stderr,
    /no letter, digit or ASCII character/,
  )
  t.match((await call('user rename nobody x')).stderr, /there is no user nobody/)
  t.match((await call('audit list --event user_renamed --user alice.SMITH --json')).json(), [
    { detail: { from: 'Alice', to: 'Alice.Smith' } },
    { detail: { from: 'Alice.Smith', to: 'ALICE.smith' } },
  ])

  t.test(
    'doctor tells of users whom an older version has added, and db migrate notes their names',
    async t => {
      const db = openDatabase({ engine: 'sqlite', file: join(home, 'db/mintmark.sqlite') })
      await addWithoutNames(db, userRow('Late'), userRow('BOB'))
      await db.close()
      const { findings } = (await call('doctor --json')).json()
      t.match(
        findings.filter(({ check }: { check: string }) => check === 'user names'),
        [
          { verdict: 'warning', text: /found by exactly their names alone: Late$/ },
          { verdict: 'warning', text: /a name that is another's: BOB and bob$/ },
        ],
      )
      t.match((await call('db migrate')).stdout, /Noted the names of 1 user whom an older version has added/)
      t.match((await call('user update late --role x')).code, 0)
      t.equal((await call('user delete BOB')).code, 0)
      t.notMatch((await call('doctor --json')).stdout, /"user names"/)
      t.match((await call('user list')).stdout, /bob/, 'the older one of that name was deleted')
    },
  )
})

t.test('a log-in takes a name in any spelling, and guesses at all of them are guesses at one', async t => {
  const server = await startServer(t)
  const client = await server.client('app')
  const user = await server.user('Ada')
  const row = await findUser(server.ctx.db, 'ada')
  t.ok(
    row && (await changeUser(server.ctx.db, row, { claims: JSON.stringify(verified('ada@BÜCHER.example')) })),
  )
  const logIn = (username: string, password: string) =>
    server.post('/token', { grant_type: 'password', username, password, ...client.form })
  for (const name of ['Ada', 'ada', 'ＡＤＡ', 'ADA@bücher.example']) {
    t.equal((await logIn(name, user.password)).statusCode, 200, name)
  }
  const spellings = ['Ada', 'ada', 'ADA', 'aDa', 'ＡＤＡ', '\u{1d400}da']
  const statuses = []
  for (let i = 0; i <= strangersLimit.points; i++) {
    statuses.push((await logIn(spellings[i % spellings.length] ?? '', 'wrong')).statusCode)
  }
  t.strictSame(statuses, [...Array.from({ length: strangersLimit.points }, () => 400), 429])
})
