import t from 'tap'
import { changeUser, disableUser } from '../../db/users/users.ts'
import { changeProfile } from '../../src/account/profile.ts'
import { findSignIn } from '../../db/users/sign-ins.ts'
import { parseUserClaims } from '../../src/protocol/standard-claims.ts'
import {
  auditOf,
  mailsTo,
  openAccount,
  rowOf,
  signInsOf,
  verifiedMail,
  withMail,
} from '../helpers/account.ts'
import { openBrowser } from '../helpers/browser.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { startServer, type TestServer, type TestUser } from '../helpers/server.ts'

const path = '/account/profile'

const claimsOf = async (server: TestServer, user: TestUser) =>
  parseUserClaims((await rowOf(server, user)).claims)

await forEachEngine(t, 'people say of themselves what apps may learn', async (t, env) => {
  const server = await startServer(t, { ...env, ...withMail })
  const ada = await server.user()
  await verifiedMail(server, ada)
  const browser = openBrowser(server)
  const page = await openAccount(browser, ada, path)
  const typed = {
    name: '  Ada Lovelace ',
    birthdate: '1815-12-10',
    phone_number: '+44 20 7946 0000',
    'address.street_address': '12 Saint James’s Square\r\nRear',
    'address.country': 'GB',
    locale: 'de',
    zoneinfo: 'Europe/London',
  }
  const saved = await browser.submit(page, typed)
  t.equal(saved.url.pathname, '/account')
  t.match(saved.text, 'Ihre Angaben sind gespeichert.', 'in the language that was chosen')
  t.match(saved.text, 'Ada Lovelace')
  t.strictSame(await claimsOf(server, ada), {
    name: 'Ada Lovelace',
    email: 'ada@mail.example',
    email_verified: true,
    birthdate: '1815-12-10',
    zoneinfo: 'Europe/London',
    locale: 'de',
    phone_number: '+44 20 7946 0000',
    address: { street_address: '12 Saint James’s Square\nRear', country: 'GB' },
  })
  t.match((await auditOf(server, ada)).at(-1), {
    event: 'user_changed',
    actor: `user ${ada.sub}`,
    detail: { claims: ['name', 'birthdate', 'zoneinfo', 'locale', 'phone_number', 'address'] },
  })
  t.strictSame(await mailsTo(server, ada), ['profile_changed'])

  const again = await browser.open(path)
  t.match((await browser.submit(again)).text, 'Es wurde nichts geändert.', 'the form says what is known')
  t.strictSame(await mailsTo(server, ada), ['profile_changed'], 'so nobody is told')
  await browser.submit(again, { name: '', locale: '', 'address.country': '', 'address.street_address': '' })
  t.strictSame(Object.keys(await claimsOf(server, ada)), [
    'email',
    'email_verified',
    'birthdate',
    'zoneinfo',
    'phone_number',
  ])
})

t.test('what cannot be saved is said at its field, and nothing typed is lost', async t => {
  const server = await startServer(t)
  const ada = await server.user()
  const browser = openBrowser(server)
  const page = await openAccount(browser, ada, path)
  const typed = {
    name: 'Ada\u0007',
    birthdate: '10.12.1815',
    website: 'javascript:alert(1)',
    nickname: 'Ada',
  }
  const refused = await browser.submit(page, { ...typed, zoneinfo: 'Mars/Olympus', locale: 'de' })
  t.equal(refused.response.statusCode, 400)
  const { body } = refused.response
  for (const id of ['name', 'birthdate', 'website', 'zoneinfo'])
    t.match(body, new RegExp(`id="${id}"[^>]* aria-invalid="true" aria-describedby="${id}-hint"`), id)
  t.notMatch(body, /id="nickname"[^>]* aria-invalid/)
  t.match(body, ' value="10.12.1815"')
  t.match(body, '<option value="de" selected>')
  t.strictSame(await claimsOf(server, ada), {}, 'nothing is saved')
  const others = {
    email: 'eve@evil.example',
    email_verified: 'true',
    roles: 'admin',
    preferred_username: 'x',
  }
  await browser.post(path, { ...others, name: 'Ada' })
  t.strictSame(await claimsOf(server, ada), { name: 'Ada' }, 'what is not theirs to say counts for nothing')
})

t.test(
  'what was typed while a log-in grew old is there after the next one, in this browser alone',
  async t => {
    const server = await startServer(t)
    const ada = await server.user()
    const browser = openBrowser(server)
    const page = await openAccount(browser, ada, path)
    server.tick(901)
    const stale = await browser.submit(page, { name: 'Ada Lovelace', nickname: 'Countess' })
    t.equal(stale.url.pathname, '/log-in')
    t.notMatch(stale.url.href, 'Countess')
    t.strictSame(await claimsOf(server, ada), {}, 'nothing was done')
    const back = await browser.submit(stale, { password: ada.password })
    t.equal(back.url.pathname, path)
    t.match(back.response.body, ' value="Countess"')
    t.strictSame(await claimsOf(server, ada), {}, 'nor by coming back')
    await browser.submit(back)
    t.strictSame(await claimsOf(server, ada), { name: 'Ada Lovelace', nickname: 'Countess' })

    const draft = `${path}${back.url.search}`
    await browser.submit(await browser.open(path), { nickname: 'Ada' })
    t.match((await browser.open(draft)).response.body, ' value="Countess"')
    const other = openBrowser(server)
    await openAccount(other, ada)
    const known = ' value="Ada"'
    t.match((await other.open(draft)).response.body, known, 'a link is of no use to others')
    for (const text of ['x', '', 'mm_ad_x', draft.slice(path.length + 7).replace(/.$/, '_')])
      t.match((await browser.open(`${path}?draft=${text}`)).response.body, known, text)
    server.tick(1801)
    t.match((await openAccount(browser, ada, draft)).response.body, known, 'nor when it is old')
  },
)

await forEachEngine(t, 'two changes at once: the later one is told to look again', async (t, env) => {
  const server = await startServer(t, env)
  const { ctx } = server
  const ada = await server.user()
  const browser = openBrowser(server)
  await openAccount(browser, ada, path)
  const [id] = await signInsOf(server, ada)
  const signIn = id && (await findSignIn(ctx.db, id))
  if (!signIn) throw new Error('it is there')
  const owner = { user: signIn.user, signIn, caller: { address: '192.0.2.1', requestId: 'r' } }
  await changeUser(ctx.db, signIn.user, { roles: 'editor', claims: '{"nickname":"Ada"}' })
  t.strictSame(await changeProfile(ctx, owner, { name: 'Ada' }), { kind: 'moved_on' })
  t.strictSame(await claimsOf(server, ada), { nickname: 'Ada' })
  t.equal((await rowOf(server, ada)).roles, 'editor')
})

t.test('no page of another site, and nobody who is disabled, changes a profile', async t => {
  const server = await startServer(t)
  const ada = await server.user()
  const browser = openBrowser(server)
  await openAccount(browser, ada, path)
  const foreign = await browser.post(path, { name: 'Eve' }, { from: 'https://evil.example' })
  t.equal(foreign.response.statusCode, 403)
  await disableUser(server.ctx.db, ada.id, server.ctx.clock.now())
  t.equal((await browser.post(path, { name: 'Eve' })).url.pathname, '/log-in')
  t.equal((await openBrowser(server).post(path, { name: 'Eve' })).url.pathname, '/log-in', 'nor does nobody')
  t.strictSame(await claimsOf(server, ada), {})
})
