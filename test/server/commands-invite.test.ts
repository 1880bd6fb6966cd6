import t from 'tap'
import { openBrowser } from '../helpers/browser.ts'
import { commandLine } from '../helpers/cli.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { openMailbox } from '../helpers/mailbox.ts'
import { relyingParty } from '../helpers/relying-party.ts'
import { besideEnv, startServer } from '../helpers/server.ts'

await forEachEngine(t, 'who is invited sets the first password by a mailed link', async (t, env) => {
  const mailbox = await openMailbox(t)
  // Commands go by the real clock.
  const now = () => Math.floor(Date.now() / 1000)
  const server = await startServer(t, { ...env, ...mailbox.env }, now())
  const read = () => {
    server.setClock(now() + 1)
    return mailbox.read(server)
  }
  const settings = { ...besideEnv(server), ...mailbox.env, MINTMARK_ISSUER: 'https://as.example' }
  const { call } = commandLine(t, t.testdir())
  const mintmark = (line: string, more: Record<string, string> = {}) =>
    call(line, { env: { ...settings, ...more } })

  const invite = 'user invite bob --email bob@example.com --role editor --claim locale=de'
  const off = await mintmark(invite, { MINTMARK_SMTP_URL: '' })
  t.equal(off.code, 1)
  t.match(off.stderr, /no mail can be sent/)
  t.equal((await mintmark('user invite bob --email nowhere')).code, 1)

  const invited = await mintmark(`${invite} --json`)
  t.equal(invited.code, 0, invited.stderr)
  t.match(invited.json(), { username: 'bob', roles: ['editor'], claims: { email: 'bob@example.com' } })
  t.notOk('email_verified' in invited.json().claims)
  const [first] = await read()
  t.equal(first?.to, 'bob@example.com')
  t.match(first?.subject, 'Ihr Konto bei')
  const browser = openBrowser(server)
  const web = await relyingParty(server)
  const begun = web.begin()
  for (const password of [' ', 'a guess of somebody']) {
    const page = await browser.submit(await browser.open(begun.url), { username: 'bob', password })
    t.equal(page.url.pathname, '/log-in', 'nothing that is typed lets anybody in before')
  }

  const again = await mintmark(invite)
  t.match(again.stdout, /The link of before is good no more/)
  const [second] = await read()
  const pathOf = (link = '') => new URL(link).pathname + new URL(link).search
  t.equal((await browser.open(pathOf(first?.link))).response.statusCode, 400, 'the link of before')
  const form = await browser.open(pathOf(second?.link))
  t.match(form.text, /Choose your password/)
  const done = await browser.submit(form, { password: 'a wholly other one' })
  t.match(done.text, /Your password is set/)
  const back = await browser.submit(await browser.open(begun.url), {
    username: 'bob@example.com',
    password: 'a wholly other one',
  })
  t.match(back.url.searchParams.get('code'), /^mm_ac_/, 'the address is verified, and so a name')
  const taken = await mintmark(invite)
  t.equal(taken.code, 1)
  t.match(taken.stderr, /there is a user bob already, with a password/)
  t.match((await mintmark('doctor')).stdout, /passwords?/)
})
