import t from 'tap'
import { findSignIn } from '../../db/users/sign-ins.ts'
import { disableUser } from '../../db/users/users.ts'
import { changeOwnPassword } from '../../src/account/password.ts'
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
import { logInWith, relyingParty } from '../helpers/relying-party.ts'
import { startServer } from '../helpers/server.ts'

const path = '/account/password'
const password = 'nine dragons rest at noon'
const typed = { password, repeat: password }

await forEachEngine(
  t,
  'invariant 17: a new password ends what began with the old one, but for the browser in which it was set',
  async (t, env) => {
    const server = await startServer(t, { ...env, ...withMail })
    const ada = await server.user()
    await verifiedMail(server, ada)
    const web = await relyingParty(server)
    const [here, there] = [openBrowser(server), openBrowser(server)]
    const begun = [web.begin(), web.begin()] as const
    const ofHere = await web.redeem(begun[0], await logInWith(here, begun[0], ada))
    const ofThere = await web.redeem(begun[1], await logInWith(there, begun[1], ada))
    const page = await here.open(path)
    t.match(page.response.body, /name="username" value="ada" autocomplete="username"/)
    t.equal(page.response.body.match(/autocomplete="new-password"/g)?.length, 2)
    const cookieBefore = here.cookies.get('__Host-mintmark')
    const deviceBefore = here.cookies.get('__Host-mintmark-device')
    const done = await here.submit(page, typed)
    t.equal(done.url.pathname, '/account')
    t.match(done.text, 'Your password was changed')

    t.not(here.cookies.get('__Host-mintmark')?.value, cookieBefore?.value, 'another cookie')
    t.not(here.cookies.get('__Host-mintmark-device')?.value, deviceBefore?.value)
    t.equal((await here.open('/account')).url.pathname, '/account', 'this browser stays')
    t.equal((await there.open('/account')).url.pathname, '/log-in')
    const thief = openBrowser(server)
    if (cookieBefore) thief.cookies.set(cookieBefore.name, cookieBefore)
    t.equal(
      (await thief.open('/account')).url.pathname,
      '/log-in',
      'invariant 14: the cookie of before is dead',
    )
    for (const { refresh_token } of [ofHere, ofThere])
      await t.rejects(server.refresh(web.client, refresh_token), /invalid_grant/)
    const again = web.begin()
    t.equal(
      (await web.redeem(again, await here.open(again.url))).status,
      200,
      'apps here go on by themselves',
    )

    t.match(
      (await auditOf(server, ada)).find(({ event }) => event === 'user_password_changed'),
      {
        actor: `user ${ada.sub}`,
      },
    )
    t.strictSame(await mailsTo(server, ada), ['password_changed'])
    t.equal((await openAccount(openBrowser(server), ada)).url.pathname, '/log-in', 'the old one is wrong')
    t.equal((await openAccount(openBrowser(server), { ...ada, password })).url.pathname, '/account')
    t.ok(server.log.some(({ event, reason }) => event === 'user_revoked' && reason === 'password changed'))
  },
)

t.test('a password that no user should have is refused in words, and is on no page', async t => {
  const server = await startServer(t)
  const ada = await server.user()
  const browser = openBrowser(server)
  const page = await openAccount(browser, ada, path)
  const refused = async (form: Record<string, string>, said: string) => {
    const answer = await browser.submit(page, form)
    t.equal(answer.response.statusCode, 400, said)
    t.match(answer.text, said)
    if (form['password']) t.notOk(answer.response.body.includes(form['password']), said)
  }
  await refused({ password: 'short-1', repeat: 'short-1' }, 'too short')
  await refused({ password: 'x'.repeat(1100), repeat: 'x'.repeat(1100) }, 'too long')
  await refused({ password: 'with a \u{200b} in it', repeat: 'with a \u{200b} in it' }, 'not every keyboard')
  await refused({ password: 'nine dragons', repeat: 'nine dragon5' }, 'not the same')
  await refused({ password: 'nine dragons' }, 'twice')
  await refused({}, 'twice')
  t.equal((await rowOf(server, ada)).epoch, 0)
})

t.test('an old log-in, a page of another site, and who is disabled change no password', async t => {
  const server = await startServer(t)
  const ada = await server.user()
  const browser = openBrowser(server)
  await openAccount(browser, ada, path)
  const foreign = await browser.post(path, typed, { from: 'https://evil.example' })
  t.equal(foreign.response.statusCode, 403)
  server.tick(901)
  const shown = await browser.open(path)
  t.match(shown.text, 'Confirm that it is you', 'before anything is typed')
  const stale = await browser.post(path, typed)
  t.equal(stale.url.pathname, '/log-in')
  t.notOk(stale.url.href.includes('dragons'))
  const back = await browser.submit(stale, { password: ada.password })
  t.equal(back.url.pathname, path)
  t.equal((await rowOf(server, ada)).epoch, 0)
  await disableUser(server.ctx.db, ada.id, server.ctx.clock.now())
  t.equal((await browser.post(path, typed)).url.pathname, '/log-in')
  t.equal((await rowOf(server, ada)).epoch, 1, 'of the disable')
})

await forEachEngine(
  t,
  'of two changes in one browser at once, one counts, and who is disabled gets none',
  async (t, env) => {
    const server = await startServer(t, env)
    const { ctx } = server
    const ada = await server.user()
    await openAccount(openBrowser(server), ada)
    const [id] = await signInsOf(server, ada)
    const signIn = id && (await findSignIn(ctx.db, id))
    if (!signIn) throw new Error('it is there')
    const owner = { user: signIn.user, signIn, caller: { address: '192.0.2.1', requestId: 'r' } }
    const both = await Promise.all(
      ['one', 'two'].map(one => changeOwnPassword(ctx, owner, `${password} ${one}`)),
    )
    t.equal(both.filter(changed => changed !== undefined).length, 1)
    t.equal((await rowOf(server, ada)).epoch, 1)

    const present = await findSignIn(ctx.db, id)
    if (!present) throw new Error('it stays')
    await ctx.db.sql.updateTable('users').set({ disabled_at: 1 }).where('id', '=', ada.id).execute()
    t.equal(
      await changeOwnPassword(ctx, { ...owner, user: present.user, signIn: present }, password),
      undefined,
    )
    t.equal((await rowOf(server, ada)).epoch, 1)
  },
)
