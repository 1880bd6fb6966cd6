import { fastify } from 'fastify'
import t from 'tap'
import { en } from '../../src/pages/texts/en.ts'
import { pagesFace } from '../../src/pages/face.ts'
import { openAccount, withMail } from '../helpers/account.ts'
import { openBrowser } from '../helpers/browser.ts'
import { startServer, type TestServer } from '../helpers/server.ts'

/** The paths that take forms of our own pages. */
async function postsOf(server: TestServer): Promise<readonly string[]> {
  const app = fastify()
  const paths = new Set<string>()
  app.addHook('onRoute', ({ url }) => void paths.add(url))
  app.register(pagesFace(server.ctx))
  await app.ready()
  await app.close()
  const taken: string[] = []
  for (const path of paths) {
    const { statusCode } = await server.post(path, {}, { host: 'as.example' })
    if (statusCode !== 405 && path !== '/authorize') taken.push(path)
  }
  return taken
}

/** All fields of all forms: each alone, and all of them, with what none of them takes. */
const names = [
  ...[
    'request',
    'decision',
    'username',
    'password',
    'repeat',
    'code',
    'recovery_code',
    'passkey',
    'name',
    'id',
  ],
  ...['link', 'waiting', 'email', 'totp', 'client_id', 'sign_in', 'session', 'locale', 'draft'],
]
const bodies: readonly Readonly<Record<string, string>>[] = [
  {},
  ...names.map(name => ({ [name]: 'x' })),
  Object.fromEntries(names.map(name => [name, 'x'])),
  { decision: 'remove', id: '01890a5d-ac96-774b-bcce-b302099a8057' },
  { password: 'one of them', repeat: 'another one' },
  { password: 'password', repeat: 'password' },
  { email: 'no address' },
  { birthdate: 'yesterday' },
]

t.test(
  'no form is answered by a page: loading that again, or going back to it, would send the form again',
  async t => {
    const server = await startServer(t, { ...withMail, MINTMARK_SIGN_UP: 'open' })
    const ada = await server.user()
    const paths = await postsOf(server)
    t.ok(paths.includes('/log-in') && paths.includes('/account/passkeys/change'), paths.join(' '))
    const owner = openBrowser(server)
    await openAccount(owner, ada)
    const answers: string[] = []
    for (const path of paths) {
      for (const body of bodies) {
        for (const browser of [openBrowser(server), owner]) {
          // Beyond the limits of changes and mails, which are not what this is about.
          server.tick(60)
          await server.ctx.db.sql.updateTable('sign_ins').set({ auth_time: server.ctx.clock.now() }).execute()
          const { response } = await browser.post(path, body, { staysPut: true })
          const location = String(response.headers.location)
          // Nothing that was typed is in an address either.
          if (
            response.statusCode !== 303 ||
            /password|another|yesterday/.test(location.replace(/^[^?]*/, ''))
          )
            answers.push(`${path} ${JSON.stringify(body)}: ${response.statusCode} ${location}`)
        }
      }
    }
    t.strictSame(answers, [])
  },
)

t.test(
  'what a form is answered can be loaded again, for half an hour, by an address that tells nothing',
  async t => {
    const server = await startServer(t)
    const browser = openBrowser(server)
    const page = await browser.post('/log-in', {})
    t.equal(page.url.pathname, '/message')
    t.match(page.text, en.messages.no_request.heading)
    t.match((await browser.open(page.url.href)).text, en.messages.no_request.heading)
    t.notMatch(page.url.href, 'no_request')
    for (const text of ['', 'x', page.url.search.slice(6).replace(/.$/, '_')])
      t.equal((await browser.open(`/message?text=${text}`)).response.statusCode, 400)
    server.tick(1800)
    t.match((await browser.open(page.url.href)).text, en.messages.request_expired.heading)
  },
)

t.test('why a form was refused is told in any browser, what was typed in its own alone', async t => {
  const server = await startServer(t, { ...withMail, MINTMARK_SIGN_UP: 'open' })
  const browser = openBrowser(server)
  const refused = await browser.submit(await browser.open('/sign-up'), { email: 'ada at home' })
  t.equal(refused.url.pathname, '/sign-up')
  t.match(refused.text, en.recovery.problems.mail_invalid)
  t.equal(refused.forms[0]?.fields.get('email'), 'ada at home')
  for (const takesCookies of [true, false]) {
    const other = await openBrowser(server, { takesCookies }).open(refused.url.href)
    t.match(other.text, en.recovery.problems.mail_invalid)
    t.equal(other.forms[0]?.fields.get('email'), '')
  }
  const long = await browser.submit(refused, { email: 'x'.repeat(5000) })
  t.match(long.text, en.recovery.problems.mail_invalid)
  t.equal(long.forms[0]?.fields.get('email'), '', 'no address is too long for a proxy')
  t.ok(long.url.href.length < 2000)
  server.tick(1800)
  const old = await browser.open(refused.url.href)
  t.notMatch(old.text, en.recovery.problems.mail_invalid)
  t.equal(old.forms[0]?.fields.get('email'), '')
})
