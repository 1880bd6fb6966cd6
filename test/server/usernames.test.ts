import t from 'tap'
import { insertUser } from '../../db/users/users.ts'
import { namesAlike } from '../../src/admin/doctor/usernames.ts'
import { newUuid } from '../../src/protocol/secrets.ts'
import { usernameCaseMapped } from '../../src/protocol/username.ts'
import { commandLine } from '../helpers/cli.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { startServer } from '../helpers/server.ts'

t.test('RFC 8265 §3.3: user names are compared in one width, in lower case and in normal form C', async t => {
  const cases: [title: string, name: string, mapped: string][] = [
    ['lower case stays', 'alice', 'alice'],
    ['capitals', 'Alice.MÜLLER', 'alice.müller'],
    ['wide letters', 'Ａｌｉｃｅ＠１', 'alice@1'],
    ['a wide space', 'a\u3000b', 'a b'],
    ['narrow katakana, with its mark', 'ｶﾞ', 'ガ'],
    ['narrow hangul', '\uffa1\uffc2', '\u3131\u314f'],
    ['the last of a run', '\uffbe\uffdc', '\u314e\u3163'],
    ['a wide macron', '\uffe3', '\u00af'],
    ['wide signs', '￡￥｟', '£¥⦅'],
    ['letters and marks apart', 'u\u0308', 'ü'],
    ['capitals and marks apart', 'U\u0308', 'ü'],
    ['Greek, with its last sigma', 'ΣΑΣ', 'σας'],
    ['a ligature, which is another letter here', 'ﬁ', 'ﬁ'],
    ['sharp s', 'STRASSE ß', 'strasse ß'],
  ]
  for (const [title, name, mapped] of cases) t.equal(usernameCaseMapped(name), mapped, title)
})

await forEachEngine(t, 'names that are alike are found, however many there are', async (t, env) => {
  const { ctx } = await startServer(t, env)
  const { db } = ctx
  const user = (username: string) => ({
    id: newUuid(ctx.clock.now()),
    username,
    password_hash: '',
    root_key_id: ctx.rootKeys.currentId,
    roles: '',
    epoch: 0,
    created_at: ctx.clock.now(),
    disabled_at: null,
  })
  t.strictSame(await namesAlike(db), [], 'nobody')
  for (let i = 0; i < 12_000; i += 1000) {
    await db.sql
      .insertInto('users')
      .values(
        Array.from({ length: 1000 }, (_, j) => ({ ...user(`User ${i + j}`), claims: '{}', mail_epoch: 0 })),
      )
      .execute()
  }
  t.strictSame(await namesAlike(db), [], 'many of whom none are alike')
  for (const name of ['user 3', 'ＵＳＥＲ 3', 'zoe', 'Zoe', 'USER 11999', 'User 12001'])
    await insertUser(db, user(name))
  const alike = (await namesAlike(db)).map(names => [...names].sort())
  t.strictSame(
    alike.sort((a, b) => ((a[0] ?? '') < (b[0] ?? '') ? -1 : 1)),
    [
      ['USER 11999', 'User 11999'],
      ['User 3', 'user 3', 'ＵＳＥＲ 3'],
      ['Zoe', 'zoe'],
    ],
  )
})

t.test('doctor names users whose names are alike, and says nothing where there are none', async t => {
  const { call } = commandLine(t)
  await call('db migrate')
  const create = (name: string) =>
    call(['user', 'create', name, '--password-stdin'], { input: 'correct horse' })
  await create('alice')
  await create('bob')
  t.match((await call('doctor --json')).json(), { problems: 0, warnings: 0 })
  await create('Alice')
  await create('ＢＯＢ')
  const { findings, warnings } = (await call('doctor --json')).json()
  t.equal(warnings, 1)
  const found = findings.find(({ check }: { check: string }) => check === 'user names')
  t.match(found, {
    verdict: 'warning',
    text: /are different people: Alice and alice; bob and ＢＯＢ$/,
    advice: /`mintmark user delete NAME` removes the other/,
  })
})
