import { hash } from 'node:crypto'
import t, { type Test } from 'tap'
import type { ClientTable } from '../../db/schema.ts'
import { openBrowser } from '../helpers/browser.ts'
import { testCertificate, thumbprintOf, type TestCertificate } from '../helpers/certificates.ts'
import { claimsOf } from '../helpers/codes.ts'
import {
  assertionClaims,
  assertionForm,
  proofClaims,
  proofHeader,
  signJwt,
  testKey,
  type TestKey,
} from '../helpers/proofs.ts'
import { startServer, type TestServer } from '../helpers/server.ts'

const proxy = '10.0.0.1'
const api = 'https://api.example'
const callback = 'https://app.example/callback'
/** RFC 7636 appendix B. */
const verifier = 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk'
const challenge = 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM'

type AuthMethod = 'private_key_jwt' | 'tls_client_auth' | 'self_signed_tls_client_auth'
type Binding = 'DPoP' | 'mutual TLS'

interface Variant {
  readonly auth: AuthMethod
  readonly binding: Binding
}

/** What a client does, which has a key and a certificate. */
interface Program {
  /** Posts to an endpoint of the metadata, authenticated, and with what its tokens are bound to. */
  post(endpoint: string, form: Readonly<Record<string, string>>): ReturnType<TestServer['request']>
  userinfo(accessToken: string, certificate?: TestCertificate): ReturnType<TestServer['request']>
}

const hasCertificate = ({ auth, binding }: Variant) => auth !== 'private_key_jwt' || binding === 'mutual TLS'

function registered(
  { auth, binding }: Variant,
  key: TestKey,
  { publicJwk }: TestCertificate,
): Partial<ClientTable> {
  const keys = {
    private_key_jwt: key.publicJwk,
    self_signed_tls_client_auth: publicJwk,
    tls_client_auth: null,
  }
  return {
    auth_method: auth,
    jwks: keys[auth] && JSON.stringify({ keys: [keys[auth]] }),
    tls_subject: auth === 'tls_client_auth' ? 'subject_dn:CN=app' : null,
    dpop_bound: binding === 'DPoP' ? 1 : 0,
    tls_bound: binding === 'DPoP' ? 0 : 1,
  }
}

async function startProgram(
  server: TestServer,
  variant: Variant,
): Promise<Program & { jkt: string; x5t: string }> {
  const key = await testKey('ES256')
  const own = await testCertificate()
  const { body } = await server.request({ method: 'GET', url: '/.well-known/openid-configuration' })
  const metadata: any = JSON.parse(body)
  const { now } = server.ctx.clock
  await server.client('app', {
    isPublic: true,
    profile: 'fapi2',
    par_required: 1,
    refresh_policy: 'reuse',
    id_token_alg: 'ES256',
    grant_types: 'authorization_code refresh_token',
    redirect_uris: callback,
    resources: api,
    ...registered(variant, key, own),
  })
  const urlOf = (endpoint: string): string =>
    (hasCertificate(variant) && metadata.mtls_endpoint_aliases[endpoint]) || metadata[endpoint]
  const fieldOf = (certificate: TestCertificate) => ({ 'client-cert': certificate.field })
  let nonce: string | undefined
  const proofFor = (htu: string, more: object) =>
    signJwt(
      key,
      proofHeader(key),
      proofClaims(now(), { htu, ...(nonce !== undefined && { nonce }), ...more }),
    )
  const send = async (endpoint: string, form: Readonly<Record<string, string>>) => {
    const url = urlOf(endpoint)
    const assertion = signJwt(key, { alg: 'ES256' }, assertionClaims('app', now()))
    const credentials =
      variant.auth === 'private_key_jwt' ? assertionForm(await assertion) : { client_id: 'app' }
    return server.request({
      method: 'POST',
      url: new URL(url).pathname,
      remoteAddress: proxy,
      payload: new URLSearchParams({ ...form, ...credentials }).toString(),
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        ...(hasCertificate(variant) && fieldOf(own)),
        ...(variant.binding === 'DPoP' && { dpop: await proofFor(url, {}) }),
      },
    })
  }
  return {
    jkt: key.jkt,
    x5t: thumbprintOf(own),
    post: async (endpoint, form) => {
      const first = await send(endpoint, form)
      const { 'dpop-nonce': given } = first.headers
      if (given === undefined || first.statusCode < 400) return first
      nonce = String(given)
      return send(endpoint, form)
    },
    userinfo: async (accessToken, certificate = own) => {
      const url = urlOf('userinfo_endpoint')
      const ath = hash('sha256', accessToken, 'base64url')
      return server.request({
        method: 'GET',
        url: new URL(url).pathname,
        remoteAddress: proxy,
        headers: {
          authorization: `${variant.binding === 'DPoP' ? 'DPoP' : 'Bearer'} ${accessToken}`,
          ...(hasCertificate(variant) && fieldOf(certificate)),
          ...(variant.binding === 'DPoP' && { dpop: await proofFor(url, { htm: 'GET', ath }) }),
        },
      })
    },
  }
}

async function wholeFlow(t: Test, variant: Variant): Promise<void> {
  const server = await startServer(t, {
    MINTMARK_TRUST_PROXY: proxy,
    MINTMARK_CLIENT_CERT: variant.auth === 'self_signed_tls_client_auth' ? 'any' : 'verified',
    MINTMARK_MTLS_URL: 'https://mtls.as.example',
  })
  await server.resource(api)
  const ada = await server.user()
  const program = await startProgram(server, variant)

  const pushed = await program.post('pushed_authorization_request_endpoint', {
    response_type: 'code',
    redirect_uri: callback,
    scope: 'openid read offline_access',
    state: 'a state',
    nonce: 'a nonce',
    code_challenge: challenge,
    code_challenge_method: 'S256',
  })
  t.equal(pushed.statusCode, 201, 'pushed')
  const browser = openBrowser(server)
  const query = new URLSearchParams({ client_id: 'app', request_uri: pushed.json().request_uri })
  const form = await browser.open(`/authorize?${query}`)
  const { url } = await browser.submit(form, { username: ada.username, password: ada.password })
  t.match(Object.fromEntries(url.searchParams), { iss: 'https://as.example', state: 'a state' })

  const redeemed = await program.post('token_endpoint', {
    grant_type: 'authorization_code',
    code: url.searchParams.get('code') ?? '',
    redirect_uri: callback,
    code_verifier: verifier,
  })
  t.equal(redeemed.statusCode, 200, 'redeemed')
  const { access_token, id_token, refresh_token, token_type } = redeemed.json()
  const isDpop = variant.binding === 'DPoP'
  t.equal(token_type, isDpop ? 'DPoP' : 'Bearer')
  const cnf = isDpop ? { jkt: program.jkt } : { 'x5t#S256': program.x5t }
  t.strictSame(claimsOf(access_token)['cnf'], cnf, 'the token is bound')
  t.match(claimsOf(id_token), { sub: ada.sub, aud: 'app', nonce: 'a nonce' })

  t.match((await program.userinfo(access_token)).json(), { sub: ada.sub })
  if (!isDpop) {
    const other = await program.userinfo(access_token, await testCertificate())
    t.equal(other.statusCode, 401, 'with another certificate')
  }
  server.tick(3600)
  const refreshed = await program.post('token_endpoint', { grant_type: 'refresh_token', refresh_token })
  t.equal(refreshed.statusCode, 200, 'refreshed')
  t.equal(refreshed.json().refresh_token ?? refresh_token, refresh_token, 'the same refresh token')
  t.match((await program.userinfo(refreshed.json().access_token)).json(), { sub: ada.sub })
  const revoked = await program.post('revocation_endpoint', { token: refresh_token })
  t.equal(revoked.statusCode, 200, 'revoked')
  t.equal((await program.userinfo(refreshed.json().access_token)).statusCode, 401, 'and over')
}

t.test(
  'FAPI 2.0 §5.3.2.1 from /par to the last refresh, with each way to authenticate and to bind',
  async t => {
    for (const auth of ['private_key_jwt', 'tls_client_auth', 'self_signed_tls_client_auth'] as const)
      for (const binding of ['DPoP', 'mutual TLS'] as const)
        await t.test(`${auth}, tokens bound by ${binding}`, async t => wholeFlow(t, { auth, binding }))
  },
)
