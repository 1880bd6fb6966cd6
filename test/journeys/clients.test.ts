import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo, Server } from 'node:net'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import * as DPoP from 'dpop'
import express from 'express'
import * as oauth from 'oauth4webapi'
import t, { type Test } from 'tap'
import { resourceServer } from '../../src/resource-server/connect.ts'
import { testCertificate } from '../helpers/certificates.ts'
import { openBrowser } from '../helpers/browser.ts'
import { commandLine } from '../helpers/cli.ts'
import { besideEnv, startServer } from '../helpers/server.ts'

const root = join(import.meta.dirname, '../..')
const text = readFileSync(join(root, 'docs/clients.md'), 'utf8')

async function listen(t: Test, server: Server & { closeAllConnections(): void }): Promise<URL> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return new URL(`https://127.0.0.1:${(server.address() as AddressInfo).port}`)
}

/**
 * A server and an API as their users meet them: over TLS, which ends at a proxy that passes certificates on
 * (RFC 9440).
 */
async function world(t: Test) {
  // The certificates here are made up. Other files of this process believe none of that kind.
  process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0'
  t.teardown(() => void delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'])
  const own = await testCertificate()
  const handlers: { as?: (request: IncomingMessage, response: ServerResponse) => void } = {}
  const proxy = createTlsServer(
    { cert: own.certificate, key: own.privateKey, requestCert: true, rejectUnauthorized: false },
    (request, response) => {
      const { raw } = (request.socket as TLSSocket).getPeerCertificate()
      delete request.headers['client-cert']
      if (raw) request.headers['client-cert'] = `:${raw.toString('base64')}:`
      handlers.as?.(request, response)
    },
  )
  const issuer = await listen(t, proxy)
  const env = {
    MINTMARK_ISSUER: issuer.origin,
    MINTMARK_TRUST_PROXY: '127.0.0.1',
    MINTMARK_CLIENT_CERT: 'verified',
  }
  const server = await startServer(t, env, Math.floor(Date.now() / 1000))
  await server.app.ready()
  handlers.as = server.app.routing

  const app = express()
  const secure = { cert: own.certificate, key: own.privateKey, requestCert: true, rejectUnauthorized: false }
  const api = await listen(t, createTlsServer(secure, app))
  const requireScope = resourceServer({ issuer: issuer.origin, audience: api.origin })
  app.get('/orders', requireScope('read'), (request, response) => {
    response.json({ sub: request.accessToken?.sub, cnf: request.accessToken?.['cnf'] })
  })
  await server.resource(api.origin)
  return { server, issuer, api, env: { ...env, ...besideEnv(server) }, ada: await server.user() }
}

const block = (section: string, language: string) =>
  new RegExp(`\`\`\`${language}\\n([^]*?)\`\`\``).exec(section)?.[1] ?? ''

t.test('docs/clients.md: each kind of client, made by its command, works with its lines of code', async t => {
  const { server, issuer, api, env, ada } = await world(t)
  const directory = t.testdir()
  const { call } = commandLine(t, directory)
  const robot = await testCertificate({ names: [{ type: 'dns', value: 'robot.example' }] })
  writeFileSync(join(directory, 'robot.pem'), robot.certificate)
  writeFileSync(join(directory, 'robot.key'), robot.privateKey)
  const here = (text: string) =>
    text
      .replaceAll('https://as.example', issuer.origin)
      .replaceAll('https://api.example', api.origin)
      .replace(/\b\w+\.(jwk|secret|pem|key)\b(?!\))/g, file => join(directory, file))

  const browser = openBrowser(server)
  const pages = { 'log in': 0, continue: 0 }
  const visit = async (url: URL): Promise<URL> => {
    const page = await browser.open(url.href)
    if (page.isElsewhere) return page.url
    // RFC 8252 §8.6: an app that another one could pass for is shown to its user.
    const isKnown = !page.forms.some(({ fields }) => fields.has('username'))
    pages[isKnown ? 'continue' : 'log in']++
    const { username, password } = ada
    return (await browser.submit(page, isKnown ? {} : { username, password })).url
  }
  const visitHere = async (url: URL) => fetch(await visit(url))

  let bearer = ''
  const run = async (name: string, code: string, result: string): Promise<any> => {
    const file = join(directory, `${name}.mjs`)
    const head = code.includes('const token ') ? '' : `const token = ${JSON.stringify(bearer)}\n`
    const lines = `${here(code)}\nreturn ${result}\n`
    // The names in the lines are given to them, and they are a module all the same.
    const imports = lines.match(/^import .*\n/gm) ?? []
    const body = imports.reduce((rest, line) => rest.replace(line, ''), lines)
    writeFileSync(
      file,
      `${imports.join('')}\nexport async function run({ visit, openBrowser }) {\n${head}${body}}\n`,
    )
    return (await import(file)).run({ visit, openBrowser: visitHere })
  }

  const sections = text.split(/^## /m).filter(section => block(section, 'sh') !== '')
  t.equal(sections.length, 7, 'each kind of client is found')
  for (const section of sections) {
    const [title = ''] = section.split('\n')
    const command = here(block(section, 'sh').trim()).replace(/^mintmark /, '')
    const created = await call(command, { env })
    t.equal(created.code, 0, `${title}: ${created.stderr}`)
    await server.follow()
    const [, id = ''] = /--id (\S+)/.exec(command) ?? []
    if (id === 'api') {
      t.strictSame(
        await run(id, block(section, 'js'), '{ active, cnf }'),
        { active: true, cnf: undefined },
        title,
      )
      continue
    }
    const { status, body } = await run(
      id,
      block(section, 'js'),
      '{ status: answer.status, body: await answer.json() }',
    )
    t.equal(status, 200, title)
    const isMachine = command.includes('client_credentials')
    t.equal(body.sub, isMachine ? id : ada.sub, title)
    const jkt = /^\{"jkt":"[\w-]{43}"\}$/
    const bound = { app: jkt, desktop: jkt, robot: /^\{"x5t#S256":"[\w-]{43}"\}$/ }[id] ?? /^undefined$/
    t.match(JSON.stringify(body.cnf) ?? 'undefined', bound, title)
    if (id === 'web')
      bearer = (await server.logIn(await server.client('plain', { resources: api.origin }), ada)).access_token
  }
  t.equal(pages['log in'], 1, 'the browser is logged in once, for all of them')
  t.equal(pages.continue, 1, 'and continues at the one that another could pass for')
  const help = await call('client create --help')
  t.match(help.stdout, /Which client\?[^]*docs\/clients\.md/, 'the help points to it')
})

t.test('oauth4webapi: DPoP with a nonce, and private_key_jwt, at all three endpoints', async t => {
  const { server, issuer, api, ada } = await world(t)
  const as = await oauth
    .discoveryRequest(issuer, { algorithm: 'oauth2' })
    .then(response => oauth.processDiscoveryResponse(issuer, response))
  const pair = await oauth.generateKeyPair('ES256', { extractable: true })
  const jwk = { ...(await crypto.subtle.exportKey('jwk', pair.publicKey)), kid: 'k' }
  const web: oauth.Client = { client_id: 'web' }
  await server.client('web', {
    isPublic: true,
    auth_method: 'private_key_jwt',
    jwks: JSON.stringify({ keys: [jwk] }),
    grant_types: 'password refresh_token client_credentials',
    resources: api.origin,
    introspects: api.origin,
    dpop_bound: 1,
  })
  const auth = oauth.PrivateKeyJwt({ key: pair.privateKey, kid: 'k' })
  const proofs = oauth.DPoP(web, await oauth.generateKeyPair('ES256'))
  const options = { DPoP: proofs }
  const { username, password } = ada
  const logIn = () =>
    oauth.genericTokenEndpointRequest(as, web, auth, 'password', { username, password }, options)

  const needsNonce = await oauth
    .processGenericTokenEndpointResponse(as, web, await logIn())
    .catch(error => error)
  t.ok(oauth.isDPoPNonceError(needsNonce), 'the first request learns the nonce')
  const first = await oauth.processGenericTokenEndpointResponse(as, web, await logIn())
  t.equal(first.token_type, 'dpop')
  const second = await oauth.processRefreshTokenResponse(
    as,
    web,
    await oauth.refreshTokenGrantRequest(as, web, auth, first.refresh_token ?? '', options),
  )
  const answer = await oauth.protectedResourceRequest(
    second.access_token,
    'GET',
    new URL('/orders', api),
    new Headers(),
    null,
    options,
  )
  t.match(await answer.json(), { sub: ada.sub, cnf: { jkt: await proofs.calculateThumbprint() } })
  const plain = await fetch(new URL('/orders', api), {
    headers: { authorization: `Bearer ${second.access_token}` },
  })
  t.equal(plain.status, 401, 'alone it is of no use')
  t.match(plain.headers.get('www-authenticate'), /^DPoP .*error="invalid_token"/)

  const introspect = async () =>
    oauth.processIntrospectionResponse(
      as,
      web,
      await oauth.introspectionRequest(as, web, auth, second.access_token),
    )
  t.match(await introspect(), {
    active: true,
    token_type: 'DPoP',
    cnf: { jkt: await proofs.calculateThumbprint() },
  })
  await oauth.processRevocationResponse(await oauth.revocationRequest(as, web, auth, second.access_token))
  t.strictSame(await introspect(), { active: false })
})

t.test('dpop: proofs of another maker, of each algorithm that it has', async t => {
  const { server, issuer, api, ada } = await world(t)
  const app = await server.client('app', { isPublic: true, resources: api.origin, dpop_bound: 1 })
  let nonce: string | undefined
  for (const alg of ['ES256', 'RS256', 'PS256', 'Ed25519'] as const) {
    const keys = await DPoP.generateKeyPair(alg)
    const post = async (form: Record<string, string>) => {
      const url = `${issuer.origin}/token`
      const headers = { dpop: await DPoP.generateProof(keys, url, 'POST', nonce) }
      const response = await fetch(url, {
        method: 'POST',
        headers,
        body: new URLSearchParams({ ...app.form, ...form }),
      })
      nonce = response.headers.get('dpop-nonce') ?? nonce
      return Object(await response.json())
    }
    const logIn = { grant_type: 'password', username: ada.username, password: ada.password }
    if (nonce === undefined) t.match(await post(logIn), { error: 'use_dpop_nonce' })
    const { refresh_token } = await post(logIn)
    const { access_token, token_type } = await post({ grant_type: 'refresh_token', refresh_token })
    t.equal(token_type, 'DPoP', alg)
    const orders = `${api.origin}/orders`
    const proof = await DPoP.generateProof(keys, orders, 'GET', undefined, access_token)
    const get = () => fetch(orders, { headers: { authorization: `DPoP ${access_token}`, dpop: proof } })
    t.match(
      await (await get()).json(),
      { sub: ada.sub, cnf: { jkt: await DPoP.calculateThumbprint(keys.publicKey) } },
      alg,
    )
    t.equal((await get()).status, 401, 'and the same proof once only')
  }
})
