import t, { type Test } from 'tap'
import { findSession } from '../../db/sessions/sessions.ts'
import { disableUser, raiseUserEpoch } from '../../db/users/users.ts'
import { endOthers } from '../../src/account/places.ts'
import { findSignIn } from '../../db/users/sign-ins.ts'
import { formatUuid } from '../../src/protocol/secrets.ts'
import { auditOf, mailsTo, openAccount, signInsOf, verifiedMail, withMail } from '../helpers/account.ts'
import { openBrowser, type Browser } from '../helpers/browser.ts'
import { claimsOf } from '../helpers/codes.ts'
import { forEachEngine, type EngineEnv } from '../helpers/engines.ts'
import { logInWith, relyingParty, type RelyingParty } from '../helpers/relying-party.ts'
import { startServer, type TestServer } from '../helpers/server.ts'

const path = '/account/places'

/** Somebody who is logged in in two browsers, with an app in each, and one that outlives its sign-in. */
async function twoPlaces(t: Test, env: EngineEnv) {
  const server = await startServer(t, { ...env, ...withMail })
  const ada = await server.user()
  await verifiedMail(server, ada)
  const web = await relyingParty(server, 'web')
  const spa = await relyingParty(server, 'spa', { isPublic: true, grant_types: codeGrants })
  const [here, there] = [openBrowser(server), openBrowser(server, { address: '203.0.113.9' })]
  const session = async (browser: Browser, party: RelyingParty, scope: string, isFirst: boolean) => {
    const begun = party.begin({ scope })
    const page = isFirst ? await logInWith(browser, begun, ada) : await browser.open(begun.url)
    const { access_token, refresh_token } = await party.redeem(begun, page)
    const id = Buffer.from(String(claimsOf(access_token)['sid']).replaceAll('-', ''), 'hex')
    return { id, refresh: () => server.refresh(party.client, refresh_token) }
  }
  const ofHere = await session(here, web, 'openid', true)
  server.tick(1)
  const ofThere = await session(there, web, 'openid', true)
  const offline = await session(there, spa, 'openid offline_access', false)
  const [present, other] = await signInsOf(server, ada)
  if (!present || !other) throw new Error('there are two')
  return { server, ada, here, there, ofHere, ofThere, offline, present, other }
}

const codeGrants = 'authorization_code refresh_token'

async function isLiving({ ctx }: TestServer, { id }: { readonly id: Buffer }): Promise<boolean> {
  const session = await findSession(ctx.db, id)
  return session?.revoked_at === null && session.isOfThisEpoch
}

await forEachEngine(t, 'a person sees where they are logged in, and ends one place', async (t, env) => {
  const { server, ada, here, there, ofHere, ofThere, offline, other } = await twoPlaces(t, env)
  await openAccount(openBrowser(server), await server.user('eve'))
  const page = await here.open(path)
  const seen = ['This browser', 'The web app', 'The spa app', '198.51.100.7', '203.0.113.9']
  for (const text of seen) t.ok(page.text.includes(text), text)
  t.equal(page.forms.length, 5, 'one for each session, one for the other browser, one for all others')

  const ended = await here.post(path, { sign_in: formatUuid(other) })
  t.equal(ended.url.pathname, path)
  t.match(ended.text, 'That browser was logged out.')
  t.notMatch((await here.open(path)).text, 'was logged out', 'it is told once')
  t.strictSame(
    [await isLiving(server, ofHere), await isLiving(server, ofThere), await isLiving(server, offline)],
    [true, false, true],
    'with it ends what came from it, but for what outlives it',
  )
  t.equal((await there.open(path)).url.pathname, '/log-in', 'nobody is logged in there')
  const ending = (await auditOf(server, ada)).slice(-2)
  t.strictSame(
    ending.map(({ event, detail }) => [event, detail.reason]),
    [
      ['sign_in_ended', 'ended by its user'],
      ['session_revoked', 'ended by its user'],
    ],
  )
  t.equal(ending[0]?.actor, `user ${ada.sub}`)
  t.strictSame(await mailsTo(server, ada), ['signed_out_place'])
  t.match((await here.post(path, { sign_in: formatUuid(other) })).text, 'That was gone already')
})

await forEachEngine(t, 'a person ends one session', async (t, env) => {
  const { server, ada, here, ofHere, offline } = await twoPlaces(t, env)
  t.match((await here.post(path, { session: formatUuid(offline.id) })).text, 'That app was logged out.')
  t.equal(await isLiving(server, offline), false)
  t.equal(await isLiving(server, ofHere), true)
  t.match((await auditOf(server, ada)).at(-1), {
    event: 'session_revoked',
    client_id: 'spa',
    detail: { reason: 'ended by its user' },
  })
  t.match((await here.post(path, { session: formatUuid(offline.id) })).text, 'That was gone already')
})

await forEachEngine(
  t,
  'ending all others ends them everywhere, and the present browser stays',
  async (t, env) => {
    const { server, ada, here, there, ofHere, ofThere, offline } = await twoPlaces(t, env)
    const third = openBrowser(server)
    const spa = await relyingParty(server, 'late')
    const begun = spa.begin()
    const underWay = await logInWith(third, begun, ada)
    const page = await here.open(path)
    const ended = await here.submit(page, {}, { button: 'decision=end_others' })
    t.match(ended.text, 'everywhere but here')
    t.match(ended.text, 'You are not logged in anywhere else.')
    t.strictSame(
      [await isLiving(server, ofHere), await isLiving(server, ofThere), await isLiving(server, offline)],
      [true, false, false],
    )
    t.type((await ofHere.refresh()).access_token, 'string', 'the app of this browser goes on')
    t.equal((await there.open(path)).url.pathname, '/log-in')
    t.match(
      await spa.redeem(begun, underWay),
      { error: 'invalid_grant' },
      'a code from before is worth nothing',
    )
    t.equal((await here.open(path)).url.pathname, path, 'and so does the browser')
    t.match(
      (await auditOf(server, ada)).findLast(({ event }) => event === 'user_revoked'),
      {
        actor: `user ${ada.sub}`,
        detail: { reason: 'ended by its user' },
      },
    )
    t.strictSame(await mailsTo(server, ada), ['signed_out_others'])
    const revoked = await server.ctx.db.sql
      .selectFrom('sessions')
      .select('revoke_reason')
      .where('revoked_at', 'is not', null)
      .execute()
    t.equal(revoked.length, 2, 'status lists learn of each')
  },
)

await forEachEngine(t, 'nobody ends what is of others', async (t, env) => {
  const { server, here, ofHere, other } = await twoPlaces(t, env)
  const eve = await server.user('eve')
  const browser = openBrowser(server)
  await openAccount(browser, eve)
  for (const form of [{ sign_in: formatUuid(other) }, { session: formatUuid(ofHere.id) }])
    t.match((await browser.post(path, form)).text, 'That was gone already')
  t.equal(await isLiving(server, ofHere), true)
  t.equal((await here.open(path)).url.pathname, path)
  for (const form of [{ sign_in: 'x' }, { session: "'" }, {}, { decision: 'x' }])
    t.match((await browser.post(path, { other: '1', ...form })).response.statusCode, 200)
})

t.test('nothing ends by a form of another site, a log-in of long ago, or of who is disabled', async t => {
  const { server, ada, here, there, ofHere, ofThere, present } = await twoPlaces(t, {})
  const form = { decision: 'end_others' }
  const foreign = await here.post(path, form, { from: 'https://evil.example' })
  t.equal(foreign.response.statusCode, 403)
  server.tick(901)
  t.equal((await here.open(path)).url.pathname, path, 'to see it no new log-in is needed')
  const stale = await here.post(path, form)
  t.equal(stale.url.pathname, '/log-in')
  t.match(stale.text, 'Confirm that it is you')
  t.equal(await isLiving(server, ofThere), true, 'nothing was done')
  const back = await here.submit(stale, { password: ada.password })
  t.equal(back.url.pathname, path, 'they come back to the page')
  t.equal(
    (await here.post(path, { sign_in: formatUuid(present) })).url.pathname,
    '/log-out',
    'the present one',
  )
  await disableUser(server.ctx.db, ada.id, server.ctx.clock.now())
  t.equal((await there.post(path, form)).url.pathname, '/log-in')
  t.equal(await isLiving(server, ofHere), false, 'by the disable')
})

await forEachEngine(t, 'a sign-in that has ended in the same moment ends no others', async (t, env) => {
  const { server, ada, ofThere, present } = await twoPlaces(t, env)
  const { ctx } = server
  const signIn = await findSignIn(ctx.db, present)
  if (!signIn) throw new Error('it is there')
  const owner = { user: signIn.user, signIn, caller: { address: '192.0.2.1', requestId: 'r' } }
  const stolen = { ...signIn, secret_hash: Buffer.alloc(32) }
  t.equal(await endOthers(ctx, { ...owner, signIn: stolen }), false, 'it has another secret by now')
  t.equal(await isLiving(server, ofThere), true)
  await raiseUserEpoch(ctx.db, ada.id, { now: ctx.clock.now(), reason: 'command' })
  t.equal(await endOthers(ctx, owner), false, 'it was ended')
  t.strictSame(await mailsTo(server, ada), [])
  t.equal((await auditOf(server, ada)).filter(({ event }) => event === 'user_revoked').length, 0)
})
