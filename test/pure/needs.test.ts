import fc from 'fast-check'
import t from 'tap'
import { judgeNeeds, type Need, type NeedFacts } from '../../src/authorization/needs.ts'
import type { Level } from '../../src/protocol/levels.ts'
import { prompts, type AuthorizationRequest, type Prompt } from '../../src/protocol/authorization-request.ts'

const now = 1_900_000_000
const madeAt = now - 100

const request: AuthorizationRequest = {
  sessionId: Buffer.alloc(16, 1),
  clientId: 'web',
  clientMadeAt: 0,
  redirectUri: 'https://app.example/callback',
  isRedirectUriSent: true,
  responseMode: 'query',
  state: 'state',
  nonce: null,
  scope: 'openid read',
  resource: null,
  details: [],
  codeChallenge: 'challenge',
  prompts: [],
  maxAge: null,
  loginHint: null,
  hintedSub: null,
  acrValues: [],
  uiLocales: [],
  claims: null,
  dpopJkt: null,
  userCode: null,
  madeAt,
}

const ada = { sub: 'ada', authTime: madeAt - 1000, levels: ['pwd'] as readonly Level[] }

/** Ada has logged in a while ago, and no user is asked for consent. */
const facts: NeedFacts = {
  signIn: ada,
  isForThisRequest: false,
  isChosen: false,
  wantsAnother: false,
  isClientSure: true,
  policy: 'never',
  allowedScope: undefined,
  hasConsented: false,
  floor: 'pwd',
  attainable: ['pwd'],
  reachable: ['pwd'],
  now,
}

const claims = (more: object) => ({ userinfo: [], idToken: [], sub: null, essentialAcr: [], ...more })
const prompt = (...prompts: Prompt[]) => ({ prompts })
const own = { isForThisRequest: true, signIn: { ...ada, authTime: now - 1 } }
const at = (authTime: number) => ({ signIn: { ...ada, authTime } })
const nobody = { signIn: undefined }
const asksOnce = { policy: 'once', allowedScope: 'openid read' } as const
const unsure = { isClientSure: false } as const
const withMfa = { attainable: ['pwd', 'mfa'] } satisfies Partial<NeedFacts>
const mfa = { ...withMfa, signIn: { ...ada, levels: ['pwd', 'mfa'] } } satisfies Partial<NeedFacts>
/** Passkeys can be had, and Ada has an authenticator app. */
const withApp = { attainable: ['pwd', 'mfa', 'phr'], reachable: ['pwd', 'mfa'] } satisfies Partial<NeedFacts>
const justNow = { signIn: { ...ada, authTime: now - 900 } }
const beforeThat = { signIn: { ...ada, authTime: now - 901 } }
const justNowBoth: Partial<NeedFacts> = { signIn: { ...justNow.signIn, levels: ['pwd', 'mfa'] } }

const rows: [
  title: string,
  request: Partial<AuthorizationRequest>,
  facts: Partial<NeedFacts>,
  need: string,
][] = [
  ['who is logged in gets a code', {}, {}, 'code'],
  ['nobody has to log in', {}, nobody, 'log_in'],
  ['with prompt=none that is an error', prompt('none'), nobody, 'login_required'],
  ['who is logged in gets one with prompt=none', prompt('none'), {}, 'code'],

  ['prompt=login wants a log-in', prompt('login'), {}, 'log_in again'],
  ['one in the second of the request may have been before it', prompt('login'), at(madeAt), 'log_in again'],
  ['one since then counts', prompt('login'), at(madeAt + 1), 'code'],
  [
    'and one for this request, whenever it was',
    prompt('login'),
    { ...at(madeAt), isForThisRequest: true },
    'code',
  ],

  ['max_age: a log-in as old as it may be', { maxAge: 60 }, at(now - 60), 'code'],
  ['and one that is older', { maxAge: 60 }, at(now - 61), 'log_in again'],
  [
    'but not again once there was one for this request',
    { maxAge: 60 },
    { ...at(now - 61), isForThisRequest: true },
    'code',
  ],
  ['an error with prompt=none', { maxAge: 60, ...prompt('none') }, at(now - 61), 'login_required'],
  ['max_age=0 wants a log-in since the request', { maxAge: 0 }, at(madeAt), 'log_in again'],
  ['which may be some seconds ago', { maxAge: 0 }, at(madeAt + 1), 'code'],
  ['one of before the clock was set back may be of any age', { maxAge: 60 }, at(now + 1), 'log_in again'],
  ['also where it is to be of after the request', prompt('login'), at(now + 1), 'log_in again'],
  ['and so may max_age=0 have it', { maxAge: 0 }, at(now + 1), 'log_in again'],
  ['which is nothing to who asks for no age', {}, at(now + 1), 'code'],
  ['max_age and prompt=login want both', { maxAge: 60, ...prompt('login') }, at(now - 61), 'log_in again'],

  ['prompt=select_account asks', prompt('select_account'), {}, 'choose_account'],
  ['once', prompt('select_account'), { isChosen: true }, 'code'],
  ['nobody is asked to log in', prompt('select_account'), nobody, 'log_in'],
  ['and who has logged in for it has chosen', prompt('select_account'), own, 'code'],
  ['then it may want a log-in', prompt('select_account', 'login'), { isChosen: true }, 'log_in again'],
  ['who wants another account logs in', prompt('select_account'), { wantsAnother: true }, 'log_in'],
  ['also where no choice was asked for', {}, { wantsAnother: true }, 'log_in'],

  ['id_token_hint: who is meant', { hintedSub: 'ada' }, {}, 'code'],
  ['another is logged in', { hintedSub: 'bob' }, {}, 'log_in'],
  ['and logs in, so that it is an error', { hintedSub: 'bob' }, own, 'login_required'],
  ['another, with prompt=none', { hintedSub: 'bob', ...prompt('none') }, {}, 'login_required'],
  ['the claim sub does the same', { claims: claims({ sub: 'bob' }) }, {}, 'log_in'],
  ['and is met', { claims: claims({ sub: 'ada' }) }, {}, 'code'],
  ['two of them that differ', { hintedSub: 'ada', claims: claims({ sub: 'bob' }) }, own, 'login_required'],

  ['acr_values: the level is there', { acrValues: ['pwd'] }, {}, 'code'],
  ['one of them', { acrValues: ['phr', 'mfa', 'pwd'] }, {}, 'code'],
  ['none of them can be reached', { acrValues: ['phr', 'mfa'] }, {}, 'unmet_authentication_requirements'],
  [
    'which is told before anybody logs in',
    { acrValues: ['mfa'] },
    nobody,
    'unmet_authentication_requirements',
  ],
  ['an OpenID request may wish for what nobody knows', { acrValues: ['urn:gold'] }, {}, 'code'],
  [
    'another one may not',
    { acrValues: ['urn:gold'], scope: 'read' },
    {},
    'unmet_authentication_requirements',
  ],
  ['a level to step up to', { acrValues: ['mfa'] }, withApp, 'step_up mfa'],
  ['S-3 of several levels one is enough', { acrValues: ['phr', 'mfa'] }, withApp, 'step_up mfa'],
  ['not without a page', { acrValues: ['mfa'], ...prompt('none') }, withApp, 'login_required'],
  ['who has logged in for it steps up too', { acrValues: ['mfa'] }, { ...own, ...withApp }, 'step_up mfa'],
  ['who is not new enough logs in first', { acrValues: ['mfa'], maxAge: 60 }, withApp, 'log_in again'],
  ['who has nothing for it sets it up', { acrValues: ['mfa'] }, { ...withMfa, ...justNow }, 'set_up mfa'],
  [
    'not without a page either',
    { acrValues: ['mfa'], ...prompt('none') },
    { ...withMfa, ...justNow },
    'login_required',
  ],
  [
    'and after a log-in of just now alone',
    { acrValues: ['mfa'] },
    { ...withMfa, ...beforeThat },
    'log_in again',
  ],
  ['of which the clock is sure', { acrValues: ['mfa'] }, { ...withMfa, ...at(now + 1) }, 'log_in again'],
  [
    'all that there is is shown before more is set up',
    { acrValues: ['phr'] },
    { ...withApp, ...justNow },
    'step_up mfa',
  ],
  ['and then it is set up', { acrValues: ['phr'] }, { ...withApp, ...justNowBoth }, 'set_up phr'],
  ['the client demands a level', {}, { ...withApp, floor: 'mfa' }, 'step_up mfa'],
  ['which the request cannot lower', { acrValues: ['pwd'] }, { ...withApp, floor: 'mfa' }, 'step_up mfa'],
  ['but raise', { acrValues: ['phr'] }, { ...withApp, ...mfa, ...withApp, floor: 'mfa' }, 'log_in again'],
  ['one that is met', {}, { ...mfa, floor: 'mfa' }, 'code'],
  ['one that cannot be reached here', {}, { ...mfa, floor: 'phr' }, 'unmet_authentication_requirements'],
  ['that was reached', { acrValues: ['mfa'] }, mfa, 'code'],
  [
    'an essential claim demands',
    { claims: claims({ essentialAcr: ['urn:gold'] }) },
    {},
    'unmet_authentication_requirements',
  ],
  [
    'and counts before acr_values',
    { acrValues: ['mfa'], claims: claims({ essentialAcr: ['pwd'] }) },
    {},
    'code',
  ],

  ['a client that never asks', {}, { policy: 'never' }, 'code'],
  ['not even with prompt=consent', prompt('consent'), { policy: 'never' }, 'code'],
  ['one that asks once', {}, { policy: 'once' }, 'consent'],
  ['and has been allowed as much', {}, { policy: 'once', allowedScope: 'write read openid' }, 'code'],
  ['and has been allowed less', {}, { policy: 'once', allowedScope: 'openid' }, 'consent'],
  [
    'prompt=consent asks again',
    prompt('consent'),
    { policy: 'once', allowedScope: 'openid read' },
    'consent',
  ],
  ['also for no scope at all', { scope: '' }, { policy: 'once' }, 'consent'],
  ['and not twice', { scope: '' }, { policy: 'once', allowedScope: '' }, 'code'],
  ['one that always asks', {}, { policy: 'always', allowedScope: 'openid read' }, 'consent'],
  ['and has asked', {}, { policy: 'always', hasConsented: true }, 'code'],
  ['with prompt=none it cannot ask', prompt('none'), { policy: 'once' }, 'consent_required'],
  ['a claim by its name is asked for', { claims: claims({ userinfo: ['name'] }) }, asksOnce, 'consent'],
  ['in the ID token too', { claims: claims({ idToken: ['name'] }) }, asksOnce, 'consent'],
  [
    'which with prompt=none it cannot be',
    { claims: claims({ userinfo: ['name'] }), ...prompt('none') },
    asksOnce,
    'consent_required',
  ],
  [
    'but it is allowed with the scope that gives it',
    { claims: claims({ userinfo: ['name'], idToken: ['nickname'] }), ...prompt('none') },
    { ...asksOnce, allowedScope: 'openid read profile' },
    'code',
  ],
  [
    'and a request without openid gets none',
    { claims: claims({ userinfo: ['name'] }), scope: 'read' },
    asksOnce,
    'code',
  ],
  ['nobody is asked by a client that never asks', { claims: claims({ userinfo: ['name'] }) }, {}, 'code'],
  ['who has to log in is not asked before', prompt('login'), { policy: 'once' }, 'log_in again'],

  ['RFC 8252 §8.6: what another app can pass for', {}, unsure, 'choose_account'],
  ['not where the person has logged in for it', {}, { ...unsure, ...own }, 'code'],
  ['or has just said that it is meant', {}, { ...unsure, isChosen: true }, 'code'],
  ['nor without a page', prompt('none'), unsure, 'interaction_required'],
  ['after all else', prompt('login'), unsure, 'log_in again'],
  ['what was allowed before counts for nothing', {}, { ...unsure, ...asksOnce }, 'consent'],
  ['also where the person has logged in for it', {}, { ...unsure, ...asksOnce, ...own }, 'consent'],
  ['what was allowed just now is enough', {}, { ...unsure, ...asksOnce, hasConsented: true }, 'code'],
  ['which needs a page', prompt('none'), { ...unsure, ...asksOnce }, 'consent_required'],
]

function nameOf(need: Need): string {
  if (need.kind === 'error') return need.error
  if (need.kind === 'step_up' || need.kind === 'set_up') return `${need.kind} ${need.level}`
  return need.kind === 'log_in' && need.isAgain ? 'log_in again' : need.kind
}

t.test('what a request still needs, case by case (OpenID Core §3.1.2.1, §3.1.2.3, §3.1.2.4)', async t => {
  for (const [title, ofRequest, ofFacts, need] of rows) {
    const judged = judgeNeeds({ ...request, ...ofRequest }, { ...facts, ...ofFacts })
    t.equal(nameOf(judged), need, title)
  }
})

const users = ['ada', 'bob', 'eve']
const levels = ['pwd', 'mfa', 'phr', 'urn:gold']
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: null })

const anyRequest = fc.record({
  prompts: fc.oneof(
    fc.constant<Prompt[]>(['none']),
    fc.subarray(prompts.filter(prompt => prompt !== 'none')),
  ),
  maxAge: maybe(fc.constantFrom(0, 1, 60, 86_400)),
  hintedSub: maybe(fc.constantFrom(...users)),
  acrValues: fc.subarray(levels),
  scope: fc.constantFrom('', 'read', 'openid', 'openid read'),
  claims: maybe(
    fc
      .record({ sub: maybe(fc.constantFrom(...users)), essentialAcr: fc.subarray(levels) })
      .map(of => claims(of)),
  ),
  madeAt: fc.integer({ min: now - 1800, max: now + 1 }),
})

const anySignIn = fc.record({
  sub: fc.constantFrom(...users),
  authTime: fc.integer({ min: now - 90_000, max: now + 1 }),
  levels: fc.constantFrom<readonly Level[]>(['pwd'], ['pwd', 'mfa']),
})

const anyFacts = fc.record({
  signIn: fc.option(anySignIn, { nil: undefined }),
  isClientSure: fc.boolean(),
  policy: fc.constantFrom('never', 'once', 'always') as fc.Arbitrary<NeedFacts['policy']>,
  allowedScope: fc.option(fc.constantFrom('', 'openid', 'openid read'), { nil: undefined }),
  floor: fc.constantFrom<Level>('pwd', 'mfa', 'phr'),
  attainable: fc.constantFrom<readonly Level[]>(['pwd'], ['pwd', 'mfa'], ['pwd', 'mfa', 'phr']),
  reachable: fc.constantFrom<readonly Level[]>(['pwd'], ['pwd', 'mfa'], ['pwd', 'mfa', 'phr']),
})

t.test('prompt=none never leads to a page (OpenID Core §3.1.2.1)', async () => {
  fc.assert(
    fc.property(anyRequest, anyFacts, (ofRequest, ofFacts) => {
      const need = judgeNeeds({ ...request, ...ofRequest, prompts: ['none'] }, { ...facts, ...ofFacts })
      return need.kind === 'code' || need.kind === 'error'
    }),
  )
})

t.test('whatever is asked for, nobody logs in twice, chooses twice or consents twice', async () => {
  fc.assert(
    fc.property(anyRequest, anyFacts, fc.infiniteStream(anySignIn), (ofRequest, ofFacts, logIns) => {
      const asked = { ...request, ...ofRequest }
      let known: NeedFacts = { ...facts, ...ofFacts }
      const pages: string[] = []
      for (;;) {
        const need = judgeNeeds(asked, known)
        if (need.kind === 'code' || need.kind === 'error') return true
        if (pages.includes(need.kind)) return false
        pages.push(need.kind)
        // Pages take their time.
        known = { ...known, now: known.now + 3000 }
        if (need.kind === 'choose_account') known = { ...known, isChosen: true }
        if (need.kind === 'consent') known = { ...known, hasConsented: true }
        if (need.kind === 'log_in') {
          const signIn = { ...logIns.next().value, authTime: known.now }
          known = { ...known, isForThisRequest: true, signIn }
        }
        // A factor that is shown for the request counts as a log-in for it.
        if (known.signIn && (need.kind === 'step_up' || need.kind === 'set_up')) {
          const levels = (['pwd', 'mfa', 'phr'] as const).slice(0, need.level === 'phr' ? 3 : 2)
          const signIn = { ...known.signIn, levels, authTime: known.now }
          known = { ...known, isForThisRequest: true, signIn }
        }
      }
    }),
  )
})

t.test('prompt=login and max_age lead to exactly one log-in', async () => {
  const wantsLogIn = fc.constantFrom<Partial<AuthorizationRequest>>(
    prompt('login'),
    prompt('select_account', 'login'),
    { maxAge: 0 },
    { maxAge: 1 },
  )
  fc.assert(
    fc.property(wantsLogIn, anySignIn, anySignIn, (wanted, before, after) => {
      const asked = { ...request, ...wanted }
      const old = { ...before, authTime: Math.min(before.authTime, madeAt) }
      const first = judgeNeeds(asked, { ...facts, signIn: old, isChosen: true })
      const second = judgeNeeds(asked, { ...facts, signIn: after, isForThisRequest: true })
      return first.kind === 'log_in' && second.kind === 'code'
    }),
  )
})
