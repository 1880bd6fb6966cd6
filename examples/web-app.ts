/*
 * A web app whose users log in with Mintmark: an OpenID Connect relying party on Fastify and openid-client.
 *
 *   npm start                   in one terminal: a server, and what to log in with
 *   npm run example:web         in another one: this app, at http://127.0.0.1:3000
 *   npm run example:fastify     in a third one: the API that it calls for its users
 *
 * Tokens stay on this side. The browser has a cookie that no script can read, and the pages show what the
 * tokens say, never a token.
 */
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import cookies from '@fastify/cookie'
import forms from '@fastify/formbody'
import { fastify, type FastifyReply, type FastifyRequest } from 'fastify'
import { html } from 'hono/html'
import * as client from 'openid-client'

const port = Number(process.env['PORT'] ?? 3000)
const home = new URL(`http://127.0.0.1:${port}/`)
const api = process.env['API'] ?? 'http://127.0.0.1:8080'
const issuer = new URL(process.env['ISSUER'] ?? 'http://127.0.0.1:9000')

// It proves who it is with a key (private_key_jwt): all that the server has, and could lose, is the public
// half.
const keyFile = process.env['CLIENT_KEY'] ?? join(process.env['MINTMARK_HOME'] ?? '', 'keys/demo-web.jwk')
if (!existsSync(keyFile)) {
  console.error(`There is no ${keyFile}: start the server first (npm start), which makes it.`)
  process.exit(1)
}
const jwk = JSON.parse(readFileSync(keyFile, 'utf8'))
const es256 = { name: 'ECDSA', namedCurve: 'P-256' }
const key = await crypto.subtle.importKey('jwk', jwk, es256, false, ['sign'])
const auth = client.PrivateKeyJwt({ key, kid: jwk.kid })
const config = await client
  .discovery(issuer, 'demo-web', undefined, auth, {
    // For a server on this machine alone: any other has https.
    execute: ['127.0.0.1', 'localhost'].includes(issuer.hostname) ? [client.allowInsecureRequests] : [],
  })
  .catch(error => {
    throw new Error(`${issuer.href} does not answer: start it with npm start`, { cause: error })
  })

/** A user of this app. One that has more than a process keeps this in its database. */
interface Session {
  readonly user: client.UserInfoResponse
  tokens: client.TokenEndpointResponse & client.TokenEndpointResponseHelpers
}
const sessions = new Map<string, Session>()

// A log of requests would have codes in it, which come in URLs.
const app = fastify()
await app.register(cookies)
await app.register(forms)

// At localhost it would have other cookies than where the server sends its users back to.
app.addHook('onRequest', async (request, reply) => {
  if (request.host !== home.host) return reply.redirect(home.href)
})

/** No script reads such a cookie, and no form on another site is sent with it. */
const cookie = { path: '/', httpOnly: true, sameSite: 'lax', secure: home.protocol === 'https:' } as const

app.get('/', async (request, reply) => {
  const session = sessionOf(request)
  return show(reply, session ? accountView(session) : welcomeView)
})

app.get('/log-in', async (_request, reply) => logIn(reply))

/** Sends the browser to the server. `demand`: how, or how lately, the user must have logged in. */
async function logIn(reply: FastifyReply, demand: Readonly<Record<string, string>> = {}) {
  const verifier = client.randomPKCECodeVerifier()
  const state = client.randomState()
  const nonce = client.randomNonce()
  const url = client.buildAuthorizationUrl(config, {
    redirect_uri: new URL('/callback', home).href,
    // offline_access: the app may go on for users who have left, or have logged out elsewhere.
    scope: 'openid profile email offline_access read',
    state,
    nonce,
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    ...demand,
  })
  // The facts to check the answer against stay in the browser that asked, under a name of its own: so a
  // second tab disturbs nothing, and nothing is stored here for a stranger.
  const pending = JSON.stringify({ verifier, nonce })
  reply.setCookie(`log-in.${state}`, pending, { ...cookie, path: '/callback', maxAge: 1800 })
  return reply.redirect(url.href, 303)
}

app.get<{ Querystring: { state?: string } }>('/callback', async (request, reply) => {
  const { state = '' } = request.query
  const pending = request.cookies[`log-in.${state}`]
  // Another browser has asked for this, or the button "back" has led here.
  if (pending === undefined) return reply.redirect('/')
  reply.clearCookie(`log-in.${state}`, { ...cookie, path: '/callback' })
  const { verifier, nonce } = JSON.parse(pending)
  // Compares `state` and `iss`, redeems the code with the verifier, and checks the ID token with its `nonce`.
  const tokens = await client.authorizationCodeGrant(config, new URL(request.url, home), {
    pkceCodeVerifier: verifier,
    expectedState: state,
    expectedNonce: nonce,
    idTokenExpected: true,
  })
  const user = await client.fetchUserInfo(config, tokens.access_token, tokens.claims()?.sub ?? '')
  // A new id at each log-in: an attacker cannot have planted it.
  const id = randomBytes(32).toString('base64url')
  sessions.delete(request.cookies['session'] ?? '')
  sessions.set(id, { user, tokens })
  reply.setCookie('session', id, cookie)
  return reply.redirect('/')
})

app.get('/orders', async (request, reply) => {
  const session = sessionOf(request)
  if (!session) return reply.redirect('/log-in')
  if ((session.tokens.expiresIn() ?? 0) < 10) await refresh(session)
  const answer = await callApi(session, 'GET', '/orders')
  return show(reply, html`<pre>${await answer.text()}</pre>`)
})

app.post('/pay', async (request, reply) => {
  const session = sessionOf(request)
  if (!session) return reply.redirect('/log-in', 303)
  try {
    const answer = await callApi(session, 'POST', '/payments')
    return show(reply, html`<pre>${await answer.text()}</pre>`)
  } catch (error) {
    const demand = demandOf(error)
    if (!demand) throw error
    return logIn(reply, demand)
  }
})

/**
 * What the API demands of the log-in (RFC 9470 §3), as parameters of an authorization request; undefined for
 * nothing.
 */
function demandOf(error: unknown): Readonly<Record<string, string>> | undefined {
  if (!(error instanceof client.WWWAuthenticateChallengeError)) return undefined
  const challenge = error.cause.find(
    ({ parameters }) => parameters.error === 'insufficient_user_authentication',
  )
  if (!challenge) return undefined
  const { acr_values, max_age } = challenge.parameters
  return { ...(acr_values !== undefined && { acr_values }), ...(max_age !== undefined && { max_age }) }
}

function callApi({ tokens }: Session, method: string, path: string): Promise<Response> {
  return client.fetchProtectedResource(config, tokens.access_token, new URL(path, api), method)
}

app.post('/refresh', async (request, reply) => {
  const session = sessionOf(request)
  if (session) await refresh(session)
  return reply.redirect('/', 303)
})

/** Two requests may do this at once: the server answers both with the same next token. */
async function refresh(session: Session): Promise<void> {
  session.tokens = await client.refreshTokenGrant(config, session.tokens.refresh_token ?? '')
}

app.post('/log-out', async (request, reply) => {
  const id = request.cookies['session'] ?? ''
  const session = sessions.get(id)
  sessions.delete(id)
  reply.clearCookie('session', cookie)
  if (!session) return reply.redirect('/', 303)
  // The ID token says which session of this app is meant: the server ends it too, offline_access or not.
  const url = client.buildEndSessionUrl(config, {
    id_token_hint: session.tokens.id_token ?? '',
    post_logout_redirect_uri: home.href,
  })
  return reply.redirect(url.href, 303)
})

app.setErrorHandler((error, request, reply) => {
  console.error(error)
  // The session has ended at the server, as a refresh or the API says: the user has to log in again.
  if (isEnd(error)) {
    sessions.delete(request.cookies['session'] ?? '')
    return reply.clearCookie('session', cookie).redirect('/', 303)
  }
  // The user has denied it, or the server had nothing better to say.
  const why = error instanceof client.AuthorizationResponseError ? error.error : 'something went wrong'
  return show(reply.code(500), html`<p>${why}</p>`)
})

function isEnd(error: unknown): boolean {
  if (error instanceof client.WWWAuthenticateChallengeError) return error.status === 401
  return error instanceof client.ResponseBodyError && error.error === 'invalid_grant'
}

function sessionOf(request: FastifyRequest): Session | undefined {
  return sessions.get(request.cookies['session'] ?? '')
}

type Html = ReturnType<typeof html>

const welcomeView = html`<p><a href="/log-in">Log in</a></p>`

function accountView({ user, tokens }: Session): Html {
  return html`<p>Hello ${user.name ?? user.preferred_username ?? user.sub}.</p>
    <h2>The ID token says</h2>
    <pre>${JSON.stringify(tokens.claims(), null, 2)}</pre>
    <h2>The server says at /userinfo</h2>
    <pre>${JSON.stringify(user, null, 2)}</pre>
    <p>The access token is good for ${tokens.expiresIn()} seconds more.</p>
    <p><a href="/orders">Call the API</a></p>
    <form method="post" action="/pay"><button>Pay, which needs a second factor</button></form>
    <form method="post" action="/refresh"><button>Refresh</button></form>
    <form method="post" action="/log-out"><button>Log out</button></form>`
}

/** A page that no cache keeps, and with no script in it. `html` escapes every value. */
function show(reply: FastifyReply, body: Html): FastifyReply {
  const headers = {
    'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
    'cache-control': 'no-store',
  }
  const page = html`<!doctype html>
    <html lang="en">
      <meta charset="utf-8" />
      <meta name="viewport" content="width=device-width" />
      <meta name="color-scheme" content="light dark" />
      <title>Orders</title>
      <h1><a href="/">Orders</a></h1>
      ${body}
    </html>`
  return reply.headers(headers).type('text/html').send(String(page))
}

await app.listen({ port })
console.log(`listening: ${home.href}`)
