import { createHash } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { prompts, type AuthorizationRequest } from '../../src/protocol/authorization-request.ts'
import { parseForm, readForm } from '../../src/protocol/form.ts'
import { isChallenge, isVerifierOf } from '../../src/protocol/pkce.ts'
import { isRedirectUri, isRegistered } from '../../src/protocol/redirect-uri.ts'
import { judgeAuthorizationRequest, type RequestFacts } from '../../src/protocol/request-verdict.ts'
import { runsOf } from '../helpers/runs.ts'
import { webUrl } from '../helpers/web-urls.ts'

const callback = 'https://app.example/callback'
const api = 'https://api.example'
/** RFC 7636 appendix B. */
const verifier = 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk'
const challenge = 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM'
const jkt = createHash('sha256').update('a key').digest('base64url')

const client: RequestFacts['client'] = {
  id: 'web',
  created_at: 1_800_000_000,
  auth_method: 'client_secret',
  grant_types: 'authorization_code refresh_token',
  redirect_uris: callback,
  scope: 'read write',
  authorization_details_types: 'account',
  pkce: 'required',
  par_required: 0,
  tls_bound: 0,
  profile: 'none',
}

const facts: RequestFacts = {
  client,
  resources: [
    { uri: api, scope: 'read write', authorization_details_types: '{}' },
    { uri: 'https://other.example', scope: 'read', authorization_details_types: '{}' },
  ],
  repeated: [],
  isPushed: false,
  isDirect: false,
  proofJkt: null,
  hintedSub: null,
  sessionId: Buffer.alloc(16, 1),
  now: 1_900_000_000,
}

/** A request of which nothing can be left out. */
const least = {
  client_id: 'web',
  response_type: 'code',
  redirect_uri: callback,
  state: 'a state',
  code_challenge: challenge,
  code_challenge_method: 'S256',
}

/** Undefined leaves a parameter out. */
type Changes = Readonly<Record<string, string | undefined>>

const formOf = (changes: Changes) =>
  new Map(
    Object.entries<string | undefined>({ ...least, ...changes }).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, value]],
    ),
  )
const judge = (changes: Changes, more: Partial<RequestFacts> = {}) =>
  judgeAuthorizationRequest(formOf(changes), { ...facts, ...more })
const of = (more: Partial<RequestFacts['client']>): Partial<RequestFacts> => ({
  client: { ...client, ...more },
})

t.test('OA-3 OpenID Core §3.1.2.1 a request is accepted with all that it says', async t => {
  t.strictSame(judge({}), {
    kind: 'accepted',
    request: {
      sessionId: facts.sessionId,
      clientId: 'web',
      clientMadeAt: 1_800_000_000,
      redirectUri: callback,
      isRedirectUriSent: true,
      responseMode: 'query',
      state: 'a state',
      nonce: null,
      scope: 'read write',
      resource: null,
      details: [],
      codeChallenge: challenge,
      prompts: [],
      maxAge: null,
      loginHint: null,
      hintedSub: null,
      acrValues: [],
      uiLocales: [],
      claims: null,
      dpopJkt: null,
      userCode: null,
      madeAt: facts.now,
    },
  })
  const all: [changes: Changes, more: Partial<RequestFacts>, request: Partial<AuthorizationRequest>][] = [
    [{ state: undefined }, {}, { state: null }],
    [{ state: ' "<ä>&=\t' }, {}, { state: ' "<ä>&=\t' }],
    [{ nonce: 'n' }, {}, { nonce: 'n' }],
    [{ response_mode: 'query' }, {}, { responseMode: 'query' }],
    [{ response_mode: 'form_post' }, {}, { responseMode: 'form_post' }],
    [{ redirect_uri: undefined }, {}, { redirectUri: callback, isRedirectUriSent: false }],
    [{ prompt: 'none' }, {}, { prompts: ['none'] }],
    [{ prompt: prompts.slice(1).join(' ') }, {}, { prompts: prompts.slice(1) }],
    [{ prompt: 'login login' }, {}, { prompts: ['login'] }],
    [{ max_age: '0' }, {}, { maxAge: 0 }],
    [{ max_age: '3600' }, {}, { maxAge: 3600 }],
    [{ login_hint: 'ada@example.com' }, {}, { loginHint: 'ada@example.com' }],
    [{ id_token_hint: 'x' }, { hintedSub: 'ada' }, { hintedSub: 'ada' }],
    [{ acr_values: 'phr mfa' }, {}, { acrValues: ['phr', 'mfa'] }],
    [{ ui_locales: 'de-AT de en' }, {}, { uiLocales: ['de-AT', 'de', 'en'] }],
    [
      { claims: '{"userinfo":{"email":null}}' },
      {},
      { claims: { userinfo: ['email'], idToken: [], sub: null, essentialAcr: [] } },
    ],
    [{ dpop_jkt: jkt }, {}, { dpopJkt: jkt }],
    [{}, { proofJkt: jkt }, { dpopJkt: jkt }],
    [{ dpop_jkt: jkt }, { proofJkt: jkt }, { dpopJkt: jkt }],
  ]
  for (const [changes, more, request] of all)
    t.match(judge(changes, more), { kind: 'accepted', request }, JSON.stringify({ ...changes, ...more }))
  const unknown = { display: 'page', claims_locales: 'de', foo: 'bar', client_secret: 's', __proto__x: 'y' }
  t.strictSame(judge(unknown), judge({}), 'A-11 P-2 what is not known leaves nothing behind')
})

t.test('RFC 6749 §3.3 a scope is one that the client may have, of the resource that is named', async t => {
  const scopes: [asked: Changes, granted: string | undefined, more?: Partial<RequestFacts>][] = [
    [{}, 'read write'],
    [{ scope: 'write' }, 'write'],
    [{ scope: 'write read write' }, 'write read'],
    [{ scope: 'openid' }, 'openid'],
    [
      { scope: 'openid profile email address phone roles read' },
      'openid profile email address phone roles read',
    ],
    [{ scope: 'openid offline_access' }, 'openid offline_access'],
    [{ scope: 'openid offline_access' }, 'openid', of({ grant_types: 'authorization_code' })],
    [{ scope: 'offline_access' }, '', of({ grant_types: 'authorization_code' })],
    [{ scope: 'read', resource: 'https://other.example' }, 'read'],
    [{ resource: 'https://other.example' }, 'read'],
    [{ resource: api }, 'read write'],
    [{ scope: 'openid read', resource: 'https://other.example' }, 'openid read'],
    [{ scope: 'write', resource: 'https://other.example' }, undefined],
    [{ scope: 'admin' }, undefined],
    [{ scope: 'READ' }, undefined],
    [{ scope: 'openid admin' }, undefined],
    [{ scope: 'read  write' }, undefined],
    [{ scope: ' read' }, undefined],
    [{ scope: 'read\twrite' }, undefined],
    [{}, '', of({ scope: '' })],
    [{ scope: 'read' }, undefined, of({ scope: '' })],
  ]
  for (const [asked, scope, more] of scopes) {
    const verdict = judge(asked, more)
    const became = verdict.kind === 'accepted' ? verdict.request.scope : Object(verdict).error
    t.equal(became, scope ?? 'invalid_scope', JSON.stringify(asked))
  }
  for (const resource of ['https://evil.example', `${api}//`, `${api} https://other.example`, 'api'])
    t.match(judge({ resource }), { kind: 'refused', error: 'invalid_target' }, `RI-1 ${resource}`)
})

t.test('a refusal names what is meant, where two rules would refuse', async t => {
  t.match(judge({ resource: `${api} ${api}` }), { description: /one resource/ })
  t.match(judge({ response_mode: 'fragment' }), { description: /query, form_post/ })
})

t.test('a request that is wrong is refused, and its client told how (RFC 6749 §4.1.2.1)', async t => {
  const cases: [title: string, changes: Changes, error: string, more?: Partial<RequestFacts>][] = [
    ['P-3 a repeated parameter', {}, 'invalid_request', { repeated: ['scope'] }],
    ['P-3 even if it is unknown', {}, 'invalid_request', { repeated: ['foo'] }],
    ['A-12 a request object', { request: 'eyJ' }, 'request_not_supported'],
    ['A-12 one that is pushed', { request: 'eyJ' }, 'request_not_supported', { isPushed: true }],
    ['a foreign request_uri', { request_uri: 'https://app.example/r' }, 'request_uri_not_supported'],
    ['A-11 one that is pushed', { request_uri: 'urn:x' }, 'invalid_request', { isPushed: true }],
    ['a registration', { registration: '{}' }, 'registration_not_supported'],
    ['RFC 9126 §5 not pushed, as it must be', {}, 'invalid_request', of({ par_required: 1 })],
    ['no response_type', { response_type: undefined }, 'invalid_request'],
    ['A-13 the implicit grant', { response_type: 'token' }, 'unsupported_response_type'],
    ['A-13 a hybrid flow', { response_type: 'code id_token' }, 'unsupported_response_type'],
    ['another case', { response_type: 'Code' }, 'unsupported_response_type'],
    ['code twice', { response_type: 'code code' }, 'unsupported_response_type'],
    ['a response_mode of the implicit grant', { response_mode: 'fragment' }, 'invalid_request'],
    ['an unknown response_mode', { response_mode: 'jwt' }, 'invalid_request'],
    ['A-5 no challenge', { code_challenge: undefined, code_challenge_method: undefined }, 'invalid_request'],
    ['A-5 a method without a challenge', { code_challenge: undefined }, 'invalid_request'],
    [
      'A-5 even where PKCE is optional',
      { code_challenge: undefined },
      'invalid_request',
      of({ pkce: 'optional' }),
    ],
    [
      'A-5 a public client without a challenge, whatever is said of it',
      { code_challenge: undefined, code_challenge_method: undefined },
      'invalid_request',
      of({ pkce: 'optional', auth_method: 'none' }),
    ],
    ['A-3 plain', { code_challenge_method: 'plain' }, 'invalid_request'],
    ['A-3 plain, since nothing is said', { code_challenge_method: undefined }, 'invalid_request'],
    ['A-3 another case', { code_challenge_method: 's256' }, 'invalid_request'],
    ['a short challenge', { code_challenge: challenge.slice(1) }, 'invalid_request'],
    ['a padded challenge', { code_challenge: `${challenge}=` }, 'invalid_request'],
    ['a challenge with other characters', { code_challenge: challenge.replace('-', '+') }, 'invalid_request'],
    ['an unknown prompt', { prompt: 'please' }, 'invalid_request'],
    ['none with another prompt', { prompt: 'none login' }, 'invalid_request'],
    ['none after another prompt', { prompt: 'consent none' }, 'invalid_request'],
    ...['-1', '1.5', '1e3', 'x', ' 1', '12345678901'].map((max_age): [string, Changes, string] => [
      `max_age ${max_age}`,
      { max_age },
      'invalid_request',
    ]),
    ['an id_token_hint of somebody else', { id_token_hint: 'eyJ' }, 'invalid_request'],
    ['claims that are no JSON', { claims: '{' }, 'invalid_request'],
    ['claims of another form', { claims: '{"userinfo":[]}' }, 'invalid_request'],
    ['claims of two users', { claims: '{"id_token":{"sub":{"values":["a","b"]}}}' }, 'invalid_request'],
    ['a dpop_jkt that is none', { dpop_jkt: 'x' }, 'invalid_request'],
    [
      'RFC 9449 §10.1 of another key than the proof',
      { dpop_jkt: challenge },
      'invalid_request',
      { proofJkt: jkt },
    ],
    [
      'a proof for tokens bound to a certificate',
      {},
      'invalid_request',
      { ...of({ tls_bound: 1 }), proofJkt: jkt },
    ],
    ['a dpop_jkt for them', { dpop_jkt: jkt }, 'invalid_request', of({ tls_bound: 1 })],
    ['too much', { nonce: 'x'.repeat(5000) }, 'invalid_request'],
    ['too much, in bytes', { state: 'ä'.repeat(2400) }, 'invalid_request'],
  ]
  for (const [title, changes, error, more] of cases) {
    const verdict = judge(changes, more)
    const recipient = { redirectUri: callback, responseMode: 'query', state: formOf(changes).get('state') }
    t.match(verdict, { kind: 'refused', error, ...recipient }, title)
    t.match(verdict, { description: /^[\x20\x21\x23-\x5b\x5d-\x7e]{10,}$/ }, `${title} (T-6)`)
  }
})

t.test('what is right is not refused by rules for others', async t => {
  const noChallenge = { code_challenge: undefined, code_challenge_method: undefined }
  t.match(judge(noChallenge, of({ pkce: 'optional' })), {
    kind: 'accepted',
    request: { codeChallenge: null },
  })
  t.match(judge({}, { ...of({ par_required: 1 }), isPushed: true }), { kind: 'accepted' })
  t.match(judge({}, of({ auth_method: 'none' })), { kind: 'accepted' })
  t.match(judge({}, of({ tls_bound: 1 })), { kind: 'accepted' })
  t.match(judge({ nonce: 'x'.repeat(4000) }), { kind: 'accepted' })
})

t.test('a refusal goes where the request says, as far as that is clear', async t => {
  const wrong = { response_type: 'token' }
  t.match(judge({ ...wrong, response_mode: 'form_post' }), { responseMode: 'form_post', state: 'a state' })
  t.match(judge({ ...wrong, response_mode: 'fragment' }), { responseMode: 'query' })
  t.match(judge({ ...wrong, state: undefined }), { state: null })
  const repeated = { repeated: ['state', 'response_mode'] }
  t.match(judge({ response_mode: 'form_post' }, repeated), { responseMode: 'query', state: null })
  const app = of({ redirect_uris: 'com.example.app:/callback' })
  const toApp = { redirect_uri: 'com.example.app:/callback', response_mode: 'form_post' }
  const broken = judge({ response_mode: 'form_post', state: 'a\nb' })
  t.match(broken, { kind: 'refused', error: 'invalid_request' }, 'OA-8 a form would alter the state')
  t.match(judge({ state: 'a\nb' }), { kind: 'accepted' }, 'a query does not')
  t.match(judge({ response_mode: 'form_post', state: '"ä" &amp; <b>' }), { kind: 'accepted' })
  t.match(
    judge(toApp, app),
    { kind: 'refused', error: 'invalid_request', responseMode: 'query' },
    'a browser cannot post to an app',
  )
})

t.test(
  'A-2 what is wrong with client or redirect URI goes to the person, and never to the client',
  async t => {
    const two = of({ redirect_uris: `${callback} https://app.example/other` })
    const cases: [title: string, changes: Changes, problem: string, more?: Partial<RequestFacts>][] = [
      ['the URI twice', {}, 'address_repeated', { repeated: ['redirect_uri'] }],
      ['the client twice', {}, 'address_repeated', { repeated: ['state', 'client_id'] }],
      ['a client without the grant', {}, 'grant_missing', of({ grant_types: 'refresh_token' })],
      ['a client without a URI', {}, 'redirect_uri_unregistered', of({ redirect_uris: '' })],
      ['no URI of two', { redirect_uri: undefined }, 'redirect_uri_missing', two],
      ['no URI at all', { redirect_uri: undefined }, 'redirect_uri_missing', of({ redirect_uris: '' })],
      ['OA-2 none', { redirect_uri: undefined, scope: 'openid' }, 'redirect_uri_missing'],
      ['FAPI none', { redirect_uri: undefined }, 'redirect_uri_missing', of({ profile: 'fapi2' })],
      ...[
        `${callback}/`,
        `${callback}?x=1`,
        `${callback}#x`,
        'https://app.example/',
        'https://APP.example/callback',
        'https://app.example:443/callback',
        'https://app.example./callback',
        'http://app.example/callback',
        'https://app.example/callback/../callback',
        'https://app.example/%63allback',
        'https://app.example@evil.example/callback',
        'https://evil.example/callback',
        'https://app.example.evil.example/callback',
        `${callback} `,
        `${callback}\0`,
        'javascript:alert(1)',
        'data:text/html,x',
        '//app.example/callback',
        'callback',
      ].map((redirect_uri): [string, Changes, string] => [
        JSON.stringify(redirect_uri),
        { redirect_uri },
        'redirect_uri_unregistered',
      ]),
      [
        'invariant 13 one that should not have been registered',
        { redirect_uri: 'javascript:alert(1)' },
        'redirect_uri_unregistered',
        of({ redirect_uris: 'javascript:alert(1)' }),
      ],
      [
        'invariant 13 one that is not even sent',
        { redirect_uri: undefined },
        'redirect_uri_unregistered',
        of({ redirect_uris: 'javascript:alert(1)' }),
      ],
    ]
    for (const [title, changes, problem, more] of cases) {
      t.strictSame(judge(changes, more), { kind: 'shown', problem }, title)
      t.strictSame(
        judge({ ...changes, response_type: 'x' }, more),
        { kind: 'shown', problem },
        `${title}, and more`,
      )
    }
  },
)

t.test('A-2 at a loopback address any port will do, and nothing else may differ (RFC 8252 §7.3)', async t => {
  const native = (redirect_uris: string) => of({ redirect_uris, auth_method: 'none' })
  const cases: [registered: string, sent: string, isTaken: boolean][] = [
    ['http://127.0.0.1/callback', 'http://127.0.0.1:51004/callback', true],
    ['http://127.0.0.1:8080/callback', 'http://127.0.0.1:51004/callback', true],
    ['http://127.0.0.1:8080/callback', 'http://127.0.0.1/callback', true],
    ['http://[::1]/callback', 'http://[::1]:51004/callback', true],
    ['http://localhost/callback', 'http://localhost:51004/callback', true],
    ['http://localhost/callback', 'http://localhost/callback', true],
    ['http://127.0.0.1/callback', 'http://localhost:51004/callback', false],
    ['http://localhost/callback', 'http://127.0.0.1:51004/callback', false],
    ['http://localhost/callback', 'http://[::1]/callback', false],
    ['http://127.0.0.1/callback', 'http://127.0.0.2/callback', false],
    ['http://127.0.0.1/callback', 'https://127.0.0.1:51004/callback', false],
    ['https://127.0.0.1/callback', 'https://127.0.0.1:51004/callback', false],
    ['http://127.0.0.1/callback', 'http://127.0.0.1:51004/other', false],
    ['http://127.0.0.1/callback', 'http://127.0.0.1:51004/callback?x', false],
    ['http://127.0.0.1/callback', 'http://127.0.0.1:65536/callback', false],
    ['http://127.0.0.1/callback', 'http://127.0.0.1:/callback', false],
    ['http://127.0.0.1/callback', 'http://127.0.0.1:80@evil.example/callback', false],
    ['http://127.0.0.1/callback', 'http://127.0.0.1.evil.example/callback', false],
    ['http://localhost/callback', 'http://localhost.evil.example/callback', false],
    ['http://localhost', 'http://localhost:51004', true],
    ['http://localhost', 'http://localhost:51004/', false],
    ['https://app.example/callback', 'https://app.example:8443/callback', false],
    ['com.example.app:/callback', 'com.example.app:/callback', true],
    ['com.example.app:/callback', 'com.example.app:8080/callback', false],
  ]
  for (const [registered, redirect_uri, isTaken] of cases) {
    t.match(
      judge({ redirect_uri }, native(registered)),
      isTaken ? { kind: 'accepted', request: { redirectUri: redirect_uri } } : { kind: 'shown' },
      `${registered} ${redirect_uri}`,
    )
  }
})

t.test('invariant 13 whatever comes, only a registered URI is ever sent anything', async t => {
  const uris = [
    callback,
    'https://app.example/other?x=1',
    'http://127.0.0.1/callback',
    'http://[::1]:7/a',
    'com.example.app:/x',
    'javascript:alert(1)',
    'data:text/html,x',
  ]
  const anyUri = fc.oneof(
    fc.constantFrom(...uris),
    webUrl,
    fc.string(),
    fc.tuple(fc.constantFrom(...uris), fc.string()).map(parts => parts.join('')),
    fc.tuple(fc.string(), fc.constantFrom(...uris)).map(parts => parts.join('')),
    fc.integer({ min: 0, max: 70_000 }).map(port => `http://127.0.0.1:${port}/callback`),
    fc.integer({ min: 0, max: 70_000 }).map(port => `https://app.example:${port}/callback`),
  )
  const parameter = fc.record(
    {
      redirect_uri: anyUri,
      response_type: fc.constantFrom('code', 'token', 'code id_token', ''),
      response_mode: fc.constantFrom('query', 'form_post', 'fragment', 'x'),
      scope: fc.oneof(fc.constantFrom('openid', 'read', 'openid read offline_access'), fc.string()),
      prompt: fc.oneof(fc.constantFrom(...prompts), fc.string()),
      code_challenge: fc.oneof(fc.constant(challenge), fc.string()),
      request_uri: anyUri,
      request: fc.string(),
      resource: anyUri,
      claims: fc.json(),
      max_age: fc.string(),
      state: fc.string(),
    },
    { requiredKeys: [] },
  )
  const property = fc.property(
    parameter,
    fc.uniqueArray(fc.constantFrom(...uris)),
    fc.uniqueArray(fc.constantFrom('redirect_uri', 'client_id', 'state', 'scope'), { maxLength: 1 }),
    fc.boolean(),
    (changes, registered, repeated, isPushed) => {
      const more = { ...of({ redirect_uris: registered.join(' ') }), repeated, isPushed }
      const verdict = judge(changes, more)
      if (verdict.kind === 'shown') return true
      const uri = verdict.kind === 'accepted' ? verdict.request.redirectUri : verdict.redirectUri
      const portless = (text: string) => text.replace(/^(http:\/\/(?:127\.0\.0\.1|\[::1\])):\d+/, '$1')
      return (
        /^(?:https:\/\/app\.example\/|http:\/\/(?:127\.0\.0\.1|\[::1\])[:/]|com\.example\.app:\/)/.test(
          uri,
        ) && registered.some(one => portless(one) === portless(uri))
      )
    },
  )
  t.doesNotThrow(() => fc.assert(property, { numRuns: runsOf(5000) }))
})

t.test('invariant 13 no registered list makes a URI of another scheme one to send anything to', async t => {
  for (const uri of [
    'javascript:alert(1)',
    'JavaScript:alert(1)',
    'data:text/html,x',
    'vbscript:x',
    'file:///etc',
    'blob:https://app.example/1',
    'app:/x',
    'https:evil.example',
    'ftp://app.example/x',
  ])
    t.notOk(isRegistered(uri, [uri]), uri)
  const property = fc.property(
    fc.oneof(fc.string(), webUrl),
    uri => isRegistered(uri, [uri]) === isRedirectUri(uri),
  )
  t.doesNotThrow(() => fc.assert(property))
})

t.test('A-3 a verifier is of its challenge alone (RFC 7636 §4.6)', async t => {
  t.ok(isChallenge(challenge))
  t.ok(isVerifierOf(verifier, challenge), 'the sample of appendix B')
  const s256 = (text: string) => createHash('sha256').update(text).digest('base64url')
  for (const right of ['a'.repeat(43), 'A0-._~'.padEnd(128, 'z')])
    t.ok(isVerifierOf(right, s256(right)), right)
  for (const malformed of [
    '',
    'a'.repeat(42),
    'a'.repeat(129),
    `${'a'.repeat(43)}=`,
    'ä'.repeat(43),
    ' '.repeat(43),
  ])
    t.notOk(isVerifierOf(malformed, s256(malformed)), JSON.stringify(malformed))
  t.notOk(isVerifierOf(challenge, challenge), 'the challenge itself')
  t.notOk(isVerifierOf(verifier, ''), 'no challenge')
  t.notOk(isVerifierOf(verifier.replace('d', 'D'), challenge), 'another case')
  t.notOk(isVerifierOf(`${verifier}x`, challenge), 'one that begins alike')
})

t.test('P-3 what is repeated can be named, for who still answers', async t => {
  const cases: [text: string, repeated: readonly string[], form: Record<string, string>][] = [
    ['a=1&b=2', [], { a: '1', b: '2' }],
    ['a=1&a=2&b=2', ['a'], { a: '1', b: '2' }],
    ['a=&a=2', ['a'], {}],
    ['resource=x&resource=y', [], { resource: 'x y' }],
  ]
  for (const [text, repeated, form] of cases) {
    const read = readForm(text)
    t.strictSame([read.repeated, [...read.form]], [repeated, Object.entries(form)], text)
    if (repeated.length > 0) t.throws(() => parseForm(text), { code: 'invalid_request' })
  }
})
