import t, { type Test } from 'tap'
import type { ClientTable } from '../../db/schema.ts'
import { hasSubject, isCertificateOf, isInForce, readClientCert } from '../../src/keys/proofs/certificate.ts'
import { readClientJwks } from '../../src/keys/proofs/client-jwks.ts'
import {
  testCertificate,
  thumbprintOf,
  type CertificateOptions,
  type TestCertificate,
} from '../helpers/certificates.ts'
import { runJob } from '../helpers/run-job.ts'
import { isOAuthError, startedAt, startServer } from '../helpers/server.ts'
import { proofClaims, proofHeader, signJwt, testKey } from '../helpers/proofs.ts'

const proxy = '10.0.0.1'
const api = 'https://api.example'
const trusting = { MINTMARK_TRUST_PROXY: `${proxy},10.1.0.0/16`, MINTMARK_CLIENT_CERT: 'verified' }

/** A request that each endpoint answers with 200 once the client is authenticated. */
const requests: [path: string, form: Record<string, string>][] = [
  ['/token', { grant_type: 'client_credentials' }],
  ['/introspect', { token: 'x' }],
  ['/revoke', { token: 'x' }],
]

async function world(t: Test, env: Record<string, string> = trusting) {
  const server = await startServer(t, env)
  await server.resource(api)
  const client = (id: string, settings: Partial<ClientTable>) =>
    server.client(id, { isPublic: true, grant_types: 'client_credentials', resources: api, ...settings })
  return {
    server,
    client,
    known: (id: string, tls_subject: string, more: Partial<ClientTable> = {}) =>
      client(id, { auth_method: 'tls_client_auth', tls_subject, ...more }),
    selfSigned: (id: string, jwks: object, more: Partial<ClientTable> = {}) =>
      client(id, { auth_method: 'self_signed_tls_client_auth', jwks: JSON.stringify(jwks), ...more }),
    /** Posts what a proxy passes on. */
    post: (
      path: string,
      form: Record<string, string>,
      certificate?: TestCertificate | string | string[],
      { from = proxy, headers = {} }: { from?: string; headers?: Record<string, string> } = {},
    ) =>
      server.request({
        method: 'POST',
        url: path,
        payload: new URLSearchParams(form).toString(),
        remoteAddress: from,
        headers: {
          'content-type': 'application/x-www-form-urlencoded',
          ...(certificate !== undefined && {
            'client-cert':
              typeof certificate === 'object' && 'field' in certificate ? certificate.field : certificate,
          }),
          ...headers,
        },
      }),
  }
}

const claimsOf = (jwt: string) => JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString())

t.test('L-3 H-12 a certificate is believed from a proxy that is trusted, and from nobody else', async t => {
  const { known, post, server } = await world(t)
  await known('app', 'subject_dn:CN=app')
  const certificate = await testCertificate()
  const form = { token: 'x', client_id: 'app' }
  const cases: [title: string, from: string, headers: Record<string, string>, status: number][] = [
    ['the proxy', proxy, {}, 200],
    ['the proxy, by IPv6', `::ffff:${proxy}`, {}, 200],
    ['one of its network', '10.1.2.3', {}, 200],
    ['the proxy, of somebody far away', proxy, { 'x-forwarded-for': '192.0.2.1' }, 200],
    ['a neighbour', '10.0.0.2', {}, 401],
    ['this machine', '127.0.0.1', {}, 401],
    ['somebody who says he comes through it', '192.0.2.1', { 'x-forwarded-for': proxy }, 401],
    ['somebody who says he is it', '192.0.2.1', { forwarded: `for=${proxy}`, 'x-real-ip': proxy }, 401],
  ]
  for (const [title, from, headers, status] of cases) {
    const { statusCode } = await post('/revoke', form, certificate, { from, headers })
    t.equal(statusCode, status, title)
  }
  t.match(
    server.log.findLast(line => 'cause' in line),
    { cause: /no proxy has passed it on/ },
  )

  const off = await world(t, { MINTMARK_TRUST_PROXY: proxy })
  await off.known('app', 'subject_dn:CN=app')
  await off.selfSigned('signed', { keys: [certificate.publicJwk] })
  for (const client_id of ['app', 'signed']) {
    const response = await off.post('/revoke', { ...form, client_id }, certificate)
    isOAuthError(t, response, 401, 'invalid_client', `not before the server is told: ${client_id}`)
  }
  const lax = await world(t, { ...trusting, MINTMARK_CLIENT_CERT: 'any' })
  await lax.known('app', 'subject_dn:CN=app')
  const unverified = await lax.post('/revoke', form, certificate)
  isOAuthError(t, unverified, 401, 'invalid_client', 'a name in a certificate that nobody has verified')
})

t.test('L-1 a client is known by one name in its certificate, at each endpoint', async t => {
  const { server, known, post } = await world(t)
  const dn = 'subject_dn:CN=app,OU=one,O=Example\\, Inc.,C=DE'
  const right: CertificateOptions = { subject: 'C=DE,O=Example\\, Inc.,OU=one,CN=app' }
  const dns = (value: string): CertificateOptions => ({ names: [{ type: 'dns', value }] })
  const uri = 'https://app.example/a,b?c="d"'
  type Case = [title: string, subject: string, certificate: CertificateOptions, status: number]
  const cases: Case[] = [
    ['a distinguished name', dn, right, 200],
    ['its types spelt otherwise', 'subject_dn:2.5.4.3=app, ou=one, O=Example\\2c Inc., c=DE', right, 200],
    ['in another order', dn, { subject: 'CN=app,OU=one,O=Example\\, Inc.,C=DE' }, 401],
    ['with one name more', dn, { subject: 'C=DE,O=Example\\, Inc.,OU=one,CN=app,CN=app' }, 401],
    ['with one name less', dn, { subject: 'C=DE,O=Example\\, Inc.,CN=app' }, 401],
    ['with another value', dn, { subject: 'C=DE,O=Example\\, Inc.,OU=one,CN=App' }, 401],
    ['with names inside of one', 'subject_dn:CN=app,O=x', { subject: [{ CN: ['app,O=x'] }] }, 401],
    ['with a line feed inside of one', 'subject_dn:CN=app,O=x', { subject: [{ O: ['x\nCN=app'] }] }, 401],
    ['with a plus inside of one', 'subject_dn:CN=app+O=x', { subject: [{ CN: ['app+O=x'] }] }, 401],
    ['with two names that are one', 'subject_dn:O=x+CN=app', { subject: [{ CN: ['app'], O: ['x'] }] }, 200],
    ['a name beyond ASCII', 'subject_dn:CN=Zo\u00eb', { subject: [{ CN: ['Zo\u00eb'] }] }, 200],
    ['a DNS name', 'san_dns:app.example', dns('app.example'), 200],
    ['a DNS name in another case', 'san_dns:app.example', dns('APP.example'), 200],
    [
      'a DNS name among others',
      'san_dns:app.example',
      { names: [...(dns('a.example').names ?? []), ...(dns('app.example').names ?? [])] },
      200,
    ],
    ['another DNS name', 'san_dns:app.example', dns('web.example'), 401],
    ['a DNS name below', 'san_dns:app.example', dns('x.app.example'), 401],
    ['a wildcard', 'san_dns:one.app.example', dns('*.app.example'), 401],
    ['a common name for a DNS name', 'san_dns:app.example', { subject: 'CN=app.example' }, 401],
    ['a URI', `san_uri:${uri}`, { names: [{ type: 'url', value: uri }] }, 200],
    ['another URI', `san_uri:${uri}`, { names: [{ type: 'url', value: `${uri}/` }] }, 401],
    ['a URI as a DNS name', 'san_uri:https://a.example', dns('https://a.example'), 401],
    ['a URI inside of a DNS name', 'san_uri:https://a.example', dns('x, URI:https://a.example'), 401],
    ['an address', 'san_ip:192.0.2.1', { names: [{ type: 'ip', value: '192.0.2.1' }] }, 200],
    ['another address', 'san_ip:192.0.2.1', { names: [{ type: 'ip', value: '192.0.2.2' }] }, 401],
    ['an address as a DNS name', 'san_ip:192.0.2.1', dns('192.0.2.1'), 401],
    ['an address of IPv6', 'san_ip:2001:db8::1', { names: [{ type: 'ip', value: '2001:db8::1' }] }, 200],
    [
      'a mail address',
      'san_email:app@app.example',
      { names: [{ type: 'email', value: 'app@app.example' }] },
      200,
    ],
    [
      'another mail address',
      'san_email:app@app.example',
      { names: [{ type: 'email', value: 'b@app.example' }] },
      401,
    ],
    ['a mail address in the subject', 'san_email:a@b.example', { subject: 'E=a@b.example,CN=x' }, 401],
    ['before its time', 'subject_dn:CN=app', { notBefore: new Date((startedAt + 1) * 1000) }, 401],
    ['in its first second', 'subject_dn:CN=app', { notBefore: new Date(startedAt * 1000) }, 200],
    ['in its last second', 'subject_dn:CN=app', { notAfter: new Date(startedAt * 1000) }, 200],
    ['after its time', 'subject_dn:CN=app', { notAfter: new Date((startedAt - 1) * 1000) }, 401],
  ]
  for (const [i, [title, subject, options, status]] of cases.entries()) {
    const { id } = await known(`app-${i}`, subject)
    const certificate = await testCertificate(options)
    for (const [path, request] of requests) {
      const { statusCode } = await post(path, { ...request, client_id: id }, certificate)
      t.equal(statusCode, status, `${title} at ${path}`)
    }
  }
  t.notOk(
    server.log.some(({ level }) => Number(level) >= 50),
    'nothing of it is a fault of ours',
  )
})

t.test('L-1 a certificate that lacks what it is asked for is a wrong one, and counts as that', async t => {
  const { server, known, selfSigned, post } = await world(t)
  const plain = await testCertificate()
  const nameless = await testCertificate({ subject: '' })
  const other = await testCertificate({ subject: '', names: [{ type: 'dns', value: 'app.example' }] })
  /** Its DER with some bytes replaced by others; its maker is not verified here. */
  const changed = (hex: string, by: string): string => {
    const der = plain.der.toString('hex')
    t.ok(der.includes(hex))
    return `:${Buffer.from(der.replace(hex, by), 'hex').toString('base64')}:`
  }
  const unknownKey = changed('2a8648ce3d0201', '2a8648ce3d027f')
  const brokenKey = changed('03420004', '03420005')
  const noTime = changed('170d303030313031', '170d393939393939')
  const readings = Array.from({ length: 2000 }, () => readClientCert(noTime))
  t.notOk(
    readings.some(read => read && isInForce(read, startedAt)),
    'a time that there is not comes never',
  )
  const dn = 'subject_dn:CN=app'
  const keys = { keys: [plain.publicJwk] }
  const pinned = { keys: [{ ...plain.publicJwk, x5c: [other.der.toString('base64')] }] }
  type Case = [title: string, expects: string | object, certificate: TestCertificate | string, status: number]
  const cases: Case[] = [
    ['no subject, for a distinguished name', dn, nameless, 401],
    ['no subject, for a DNS name', 'san_dns:app.example', nameless, 401],
    ['no subject, for a URI', 'san_uri:https://app.example', nameless, 401],
    ['no subject, for an address', 'san_ip:192.0.2.1', nameless, 401],
    ['no subject, for a mail address', 'san_email:a@app.example', nameless, 401],
    ['no subject, for a key', keys, nameless, 401],
    ['no subject but another name, for a distinguished name', dn, other, 401],
    ['no subject but another name, for that', 'san_dns:app.example', other, 200],
    ['a key of an unknown kind, for a key', keys, unknownKey, 401],
    ['a key of an unknown kind, for a name', dn, unknownKey, 200],
    ['a key that is none, for a key', keys, brokenKey, 401],
    ['a key that is none, for a certificate', pinned, brokenKey, 401],
    ['a time that there is not, for a name', dn, noTime, 401],
    ['a time that there is not, for a key', keys, noTime, 401],
  ]
  for (const [i, [title, expects, certificate, status]] of cases.entries()) {
    const { id } = await (typeof expects === 'string'
      ? known(`app-${i}`, expects)
      : selfSigned(`app-${i}`, expects))
    for (const [path, request] of requests) {
      const response = await post(path, { ...request, client_id: id }, certificate)
      if (status === 200) t.equal(response.statusCode, 200, `${title} at ${path}`)
      else isOAuthError(t, response, 401, 'invalid_client', `${title} at ${path}`)
    }
    await runJob(server, 'writing the audit trail')
    const noted = await server.ctx.db.sql
      .selectFrom('audit')
      .select('event')
      .where('client_id', '=', id)
      .where('event', '=', 'client_refused')
      .execute()
    t.equal(noted.length > 0, status === 401, `${title}: counted, and written down`)
  }
  for (const { level } of server.log) if (Number(level) >= 50) t.fail('nothing of it is a fault of ours')
})

t.test('L-1 whatever a certificate has lost on its way, it is read or refused', async t => {
  const full = await testCertificate({
    subject: 'C=DE,CN=app',
    names: [
      { type: 'dns', value: 'app.example' },
      { type: 'url', value: 'https://app.example/a,b' },
      { type: 'ip', value: '192.0.2.1' },
      { type: 'email', value: 'a@app.example' },
      { type: 'dn', value: 'CN=x' },
    ],
  })
  const keys = readClientJwks({ keys: [full.publicJwk] })?.keys ?? []
  const names = ['dns:app.example', 'uri:https://app.example/a,b', 'ip:192.0.2.1', 'email:a@app.example']
  const subjects = ['subject_dn:CN=app', ...names.map(name => `san_${name}`)]
  let read = 0
  for (let at = 0; at < full.der.length; at++) {
    for (const flip of [0x01, 0x10, 0xff]) {
      const der = Buffer.from(full.der)
      der[at] = (der[at] ?? 0) ^ flip
      const certificate = readClientCert(`:${der.toString('base64')}:`)
      if (!certificate) continue
      read++
      // None of these throws.
      isInForce(certificate, startedAt)
      isCertificateOf(certificate, keys)
      for (const subject of subjects) hasSubject(certificate, subject)
    }
  }
  t.ok(read > full.der.length, 'most are still certificates')
})

t.test('L-1 whatever is no certificate, or comes with something else, is refused', async t => {
  const { server, client, known, post } = await world(t)
  await known('app', 'subject_dn:CN=app')
  const web = await server.client('web')
  await client('spa', { auth_method: 'none', grant_types: 'password' })
  const certificate = await testCertificate()
  const { field, der } = certificate
  const colons = (bytes: Buffer) => `:${bytes.toString('base64')}:`
  const app = { token: 'x', client_id: 'app' }
  type Case = [
    title: string,
    form: Record<string, string>,
    field?: string | string[],
    headers?: Record<string, string>,
  ]
  const cases: Case[] = [
    ['none', app],
    ['an empty one', app, ''],
    ['garbage', app, ':Z2FyYmFnZQ==:'],
    ['no structured field', app, field.slice(1, -1)],
    ['PEM', app, colons(Buffer.from(certificate.certificate))],
    ['something after it', app, colons(Buffer.concat([der, der]))],
    ['half of it', app, colons(der.subarray(0, 200))],
    ['two of them', app, [field, field]],
    ['a parameter', app, `${field};a=1`],
    ['a client_id that is not in the body', { token: 'x' }, field],
    ['an unknown client', { token: 'x', client_id: 'nobody' }, field],
    ['a client with a secret', { token: 'x', client_id: 'web' }, field],
    ['a secret too', { ...app, client_secret: 'x' }, field],
    ['a secret of another client', { ...app }, field, { authorization: String(web.headers.authorization) }],
    ['an assertion too', { ...app, client_assertion: 'x', client_assertion_type: 'y' }, field],
  ]
  for (const [title, form, certificate, headers = {}] of cases) {
    const response = await post('/revoke', form, certificate, { headers })
    const code = title === 'a secret of another client' ? 'invalid_request' : 'invalid_client'
    isOAuthError(t, response, code === 'invalid_client' ? 401 : 400, code, title)
  }
  const spa = await post('/revoke', { token: 'x', client_id: 'spa' }, 'garbage')
  t.equal(spa.statusCode, 200, 'a proxy passes on what clients have, and those who need none are let alone')
})

t.test('L-1 a certificate that nobody has verified is known by its key', async t => {
  const { selfSigned, post } = await world(t, { ...trusting, MINTMARK_CLIENT_CERT: 'any' })
  const [one, two] = [await testCertificate(), await testCertificate()]
  await selfSigned('app', { keys: [one.publicJwk] })
  await selfSigned('pinned', { keys: [{ ...one.publicJwk, x5c: [two.der.toString('base64')] }] })
  await selfSigned('empty', { keys: [] })
  const old = await testCertificate({ notAfter: new Date((startedAt - 1) * 1000) })
  await selfSigned('old', { keys: [old.publicJwk] })
  const cases: [title: string, id: string, certificate: TestCertificate, status: number][] = [
    ['its key', 'app', one, 200],
    ['another key, with the same name', 'app', two, 401],
    ['the key of a certificate that was registered', 'pinned', one, 401],
    ['that certificate', 'pinned', two, 200],
    ['a client without keys', 'empty', one, 401],
    ['after its time', 'old', old, 401],
  ]
  for (const [title, id, certificate, status] of cases) {
    for (const [path, request] of requests) {
      const { statusCode } = await post(path, { ...request, client_id: id }, certificate)
      t.equal(statusCode, status, `${title} at ${path}`)
    }
  }
})

t.test('L-2 tokens are bound to the certificate, and say so', async t => {
  const { server, known, post } = await world(t)
  await known('app', 'subject_dn:CN=app', { tls_bound: 1 })
  await known('free', 'subject_dn:CN=app')
  const apiServer = await server.client('api', { introspects: api })
  const form = { grant_type: 'client_credentials', client_id: 'app' }
  for (const certificate of [await testCertificate(), await testCertificate()]) {
    const { token_type, access_token } = (await post('/token', form, certificate)).json()
    t.equal(token_type, 'Bearer')
    const cnf = { 'x5t#S256': thumbprintOf(certificate) }
    t.strictSame(claimsOf(access_token).cnf, cnf)
    t.match(await server.introspect(apiServer, access_token), { active: true, token_type: 'Bearer', cnf })
  }
  const free = (await post('/token', { ...form, client_id: 'free' }, await testCertificate())).json()
  t.notOk('cnf' in claimsOf(free.access_token), 'only where the client is set to it')

  const key = await testKey()
  const proof = await signJwt(key, proofHeader(key), proofClaims(server.ctx.clock.now()))
  const nonce = (await post('/token', form, await testCertificate(), { headers: { dpop: proof } })).headers[
    'dpop-nonce'
  ]
  const dpop = await signJwt(key, proofHeader(key), proofClaims(server.ctx.clock.now(), { nonce }))
  const both = await post('/token', form, await testCertificate(), { headers: { dpop } })
  isOAuthError(t, both, 400, 'invalid_dpop_proof', 'one token, one key')
})

t.test('RFC 8705 \u00a74 the refresh tokens of a public client are bound to its certificate', async t => {
  const { server, client, post } = await world(t)
  const ada = await server.user()
  const grant_types = 'password refresh_token'
  await client('app', { tls_bound: 1, grant_types })
  const [one, two] = [await testCertificate(), await testCertificate()]
  const logIn = { grant_type: 'password', username: ada.username, password: ada.password, client_id: 'app' }
  isOAuthError(t, await post('/token', logIn), 400, 'invalid_request', 'a log-in without a certificate')
  const first = (await post('/token', logIn, one)).json()
  const refresh = (refresh_token: string, certificate?: TestCertificate) =>
    post('/token', { grant_type: 'refresh_token', refresh_token, client_id: 'app' }, certificate)
  isOAuthError(t, await refresh(first.refresh_token), 400, 'invalid_request', 'without it')
  isOAuthError(t, await refresh(first.refresh_token, two), 400, 'invalid_grant', 'with another')
  const second = (await refresh(first.refresh_token, one)).json()
  t.strictSame(claimsOf(second.access_token).cnf, { 'x5t#S256': thumbprintOf(one) }, 'and nothing was lost')
  t.equal(
    (await refresh(first.refresh_token, one)).json().refresh_token,
    second.refresh_token,
    'nor by a retry',
  )
})

t.test('M-9 the metadata tell of mutual TLS where there is some, and where to connect', async t => {
  const metadataOf = async (env: Record<string, string>) => {
    const { server } = await world(t, env)
    return (await server.request({ url: '/.well-known/oauth-authorization-server' })).json()
  }
  const methods = 'token_endpoint_auth_methods_supported'
  const off = await metadataOf({})
  t.notMatch(JSON.stringify(off), /tls|mtls/)
  const any = await metadataOf({ ...trusting, MINTMARK_CLIENT_CERT: 'any' })
  t.match(any[methods], /self_signed_tls_client_auth/)
  t.notOk(any[methods].includes('tls_client_auth'))
  const verified = await metadataOf({ ...trusting, MINTMARK_MTLS_URL: 'https://mtls.as.example' })
  t.ok(verified[methods].includes('tls_client_auth'))
  t.match(verified, {
    tls_client_certificate_bound_access_tokens: true,
    mtls_endpoint_aliases: {
      token_endpoint: 'https://mtls.as.example/token',
      pushed_authorization_request_endpoint: 'https://mtls.as.example/par',
      authorization_challenge_endpoint: 'https://mtls.as.example/authorize-challenge',
      userinfo_endpoint: 'https://mtls.as.example/userinfo',
      introspection_endpoint: 'https://mtls.as.example/introspect',
      revocation_endpoint: 'https://mtls.as.example/revoke',
    },
  })
})
