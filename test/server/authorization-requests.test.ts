import t from 'tap'
import {
  fresh,
  openRequest,
  pushRequest,
  requestSeconds,
  sealRequest,
  type PendingRequest,
} from '../../src/authorization/requests.ts'
import type { AuthorizationRequest } from '../../src/protocol/authorization-request.ts'
import { newUuid } from '../../src/protocol/secrets.ts'
import { besideEnv, startedAt, startServer } from '../helpers/server.ts'

const least: AuthorizationRequest = {
  sessionId: newUuid(startedAt),
  clientId: 'web',
  clientMadeAt: startedAt,
  redirectUri: 'https://app.example/callback',
  isRedirectUriSent: true,
  responseMode: 'query',
  state: null,
  nonce: null,
  scope: '',
  resource: null,
  details: [],
  codeChallenge: null,
  prompts: [],
  maxAge: null,
  loginHint: null,
  hintedSub: null,
  acrValues: [],
  uiLocales: [],
  claims: null,
  dpopJkt: null,
  userCode: null,
  madeAt: startedAt,
}

const most: AuthorizationRequest = {
  ...least,
  isRedirectUriSent: false,
  responseMode: 'form_post',
  state: 'ä "state" & more',
  nonce: 'n',
  scope: 'openid read',
  resource: 'https://api.example',
  codeChallenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
  prompts: ['login', 'consent'],
  maxAge: 0,
  loginHint: 'ada',
  hintedSub: 'ada',
  acrValues: ['mfa'],
  uiLocales: ['de', 'en'],
  claims: { userinfo: ['email'], idToken: [], sub: null, essentialAcr: ['phr'] },
  dpopJkt: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
}

const met: PendingRequest = {
  request: most,
  browser: 'a hash',
  signIn: newUuid(startedAt),
  user: newUuid(startedAt),
  wantsAnother: true,
  shown: { user: newUuid(startedAt), epoch: 3, amr: 'pwd', at: startedAt, mail: 'a UUID', stays: true },
  stays: true,
  username: 'Ada Lovelace',
  problem: 'passkey_unknown',
  unknownPasskey: 'AAEC',
}

t.test('invariant 18 a request opens as it was sealed, at any instance', async t => {
  const { ctx, ...server } = await startServer(t)
  const beside = await startServer(t, besideEnv({ ctx, ...server }))
  for (const pending of [fresh(least), fresh(most), met, { ...met, request: least }]) {
    const text = sealRequest(ctx, pending)
    t.match(text, /^mm_ar_[\w-]+$/)
    t.strictSame(await openRequest(ctx, text), { ...pending, isExpired: false })
    t.strictSame(await openRequest(beside.ctx, text), { ...pending, isExpired: false })
    t.not(sealRequest(ctx, pending), text)
  }
})

t.test('a request is good for half an hour', async t => {
  const { ctx, tick, setClock } = await startServer(t)
  const text = sealRequest(ctx, met)
  tick(requestSeconds - 1)
  t.match(await openRequest(ctx, text), { isExpired: false })
  tick(1)
  t.match(await openRequest(ctx, text), { isExpired: true, request: most })
  t.match(await openRequest(ctx, sealRequest(ctx, met)), { isExpired: true }, 'however often it is sealed')
  setClock(met.request.madeAt - requestSeconds)
  t.match(
    await openRequest(ctx, text),
    { isExpired: true },
    'nor does a clock that was set back make it younger',
  )
})

t.test('a request that others have made or changed is none (invariant 8)', async t => {
  const { ctx } = await startServer(t)
  const stranger = await startServer(t)
  const text = sealRequest(ctx, met)
  const middle = Math.floor(text.length / 2)
  const cases: [title: string, text: string][] = [
    ['nothing', ''],
    ['its prefix', 'mm_ar_'],
    ['one that is cut', text.slice(0, -4)],
    ['one with more', `${text}AAAA`],
    [
      'one that is changed',
      text.slice(0, middle) + (text[middle] === 'A' ? 'B' : 'A') + text.slice(middle + 1),
    ],
    ['one of another installation', sealRequest(stranger.ctx, met)],
    ['one that was pushed', pushRequest(ctx, most).replace(/^.*:/, '')],
    ['one that was pushed, renamed', pushRequest(ctx, most).replace(/^.*:mm_pr_/, 'mm_ar_')],
  ]
  for (const [title, changed] of cases) t.equal(await openRequest(ctx, changed), undefined, title)
})

t.test('what is sealed fits into the URLs that proxies take', async t => {
  const { ctx } = await startServer(t)
  const scope = 'x'.repeat(4000)
  const pending = { ...met, request: { ...most, scope }, username: 'x'.repeat(300) }
  t.ok(sealRequest(ctx, pending).length < 8000)
})
