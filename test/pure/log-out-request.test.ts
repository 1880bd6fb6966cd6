import t from 'tap'
import { clientOfLogOut, judgeLogOutRequest } from '../../src/protocol/log-out-request.ts'

const client = { id: 'web', post_logout_redirect_uris: 'https://app.example/bye http://127.0.0.1/bye' }
const sid = '0195d3d2-1f00-7000-8000-000000000001'
const hintClaims = { aud: 'web', sub: 'ada', sid }
const form = (parameters: Record<string, string>) => new Map(Object.entries(parameters))
const uri = (post_logout_redirect_uri: string) => form({ post_logout_redirect_uri })

t.test('the client is that of the hint, else the one that is named', async t => {
  t.equal(clientOfLogOut(form({ client_id: 'shop' }), hintClaims), 'web')
  t.equal(clientOfLogOut(form({ client_id: 'shop' }), undefined), 'shop')
  t.equal(clientOfLogOut(form({}), undefined), undefined)
})

t.test('requests to log out, case by case (OpenID Connect RP-Initiated Logout 1.0 §2, §3)', async t => {
  const accepted = (parameters: ReadonlyMap<string, string>, facts: object) => {
    const verdict = judgeLogOutRequest(parameters, { hintClaims: undefined, client: undefined, ...facts })
    return verdict.kind === 'accepted' ? verdict.request : verdict.problem
  }
  t.strictSame(accepted(form({}), {}), {
    clientId: null,
    redirectUri: null,
    state: null,
    uiLocales: [],
    hint: null,
    hintedSession: null,
  })
  t.match(accepted(form({ logout_hint: sid }), {}), { hint: null, hintedSession: Buffer }, 'a sid')
  t.match(accepted(form({ logout_hint: 'ada' }), {}), { hintedSession: null }, 'who is logged in is known')
  t.match(accepted(uri('https://app.example/bye'), {}), { redirectUri: null }, 'of nobody')
  t.match(accepted(uri('https://app.example/bye'), { client }), { redirectUri: 'https://app.example/bye' })
  t.match(
    accepted(uri('http://127.0.0.1:49152/bye'), { client }),
    { redirectUri: 'http://127.0.0.1:49152/bye' },
    'an app on this device cannot choose its port (RFC 8252 §7.3)',
  )
  t.equal(accepted(uri('https://app.example/bye/'), { client }), 'log_out_uri_unregistered')
  t.equal(accepted(form({ client_id: 'shop' }), { hintClaims, client }), 'log_out_invalid')
  t.match(accepted(form({ client_id: 'web', state: 's', ui_locales: 'de  en' }), { hintClaims, client }), {
    clientId: 'web',
    state: 's',
    uiLocales: ['de', 'en'],
    hint: { sub: 'ada' },
  })
  for (const claims of [
    { aud: 'web', sub: 'ada' },
    { aud: 'web', sid },
    { ...hintClaims, sid: 'x' },
  ])
    t.match(accepted(form({}), { hintClaims: claims, client }), { hint: null }, 'no ID token')
})
