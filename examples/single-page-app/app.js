/*
 * A public client in a browser: authorization code with PKCE, and tokens that are bound to a key of this
 * browser (DPoP, RFC 9449), which no script can copy. Whoever copies a token has nothing.
 */
import * as oauth from '/oauth4webapi.js'

const { issuer } = await (await fetch('/config.json')).json()
const client = { client_id: 'demo-spa' }
const redirectUri = `${location.origin}/callback`
// For a server on this machine alone: any other has https.
const insecure = {
  [oauth.allowInsecureRequests]: ['127.0.0.1', 'localhost'].includes(new URL(issuer).hostname),
}

const server = await oauth
  .discoveryRequest(new URL(issuer), insecure)
  .then(response => oauth.processDiscoveryResponse(new URL(issuer), response))
  .catch(error => {
    show('status', `${issuer} does not answer: start it with npm start.`)
    throw error
  })

// What is kept: the key, of which scripts see no bit (it is not extractable), and the refresh token, which is
// of no use without it. The access token lives in a variable.
const store = await openStore()
// Of several tabs that open at once, the first says which key it is.
await store.add('keys', await oauth.generateKeyPair('ES256', { extractable: false })).catch(() => {})
const keys = await store.get('keys')
const DPoP = oauth.DPoP(client, keys)
const options = { DPoP, ...insecure }
let tokens

async function logIn() {
  const [state, nonce] = [oauth.generateRandomState(), oauth.generateRandomNonce()]
  const verifier = oauth.generateRandomCodeVerifier()
  // What the answer is checked against, in this tab alone: another one may log in beside it.
  sessionStorage.setItem('pending', JSON.stringify({ state, nonce, verifier }))
  const url = new URL(server.authorization_endpoint)
  url.search = new URLSearchParams({
    client_id: client.client_id,
    response_type: 'code',
    redirect_uri: redirectUri,
    scope: 'openid profile read',
    state,
    nonce,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    // The code is bound to the key as well.
    dpop_jkt: await DPoP.calculateThumbprint(),
  })
  location.assign(url)
}

async function comeBack() {
  const { state, nonce, verifier } = JSON.parse(sessionStorage.getItem('pending') ?? '{}')
  sessionStorage.removeItem('pending')
  const url = new URL(location.href)
  // The code leaves the address bar and the history before anything else happens.
  history.replaceState(null, '', '/')
  if (state === undefined) return
  // Compares `state` and `iss`.
  const answer = oauth.validateAuthResponse(server, client, url, state)
  const request = () =>
    oauth.authorizationCodeGrantRequest(server, client, oauth.None(), answer, redirectUri, verifier, options)
  // Checks the ID token: who made it, for whom, when, and for which request.
  const checks = { expectedNonce: nonce, requireIdToken: true }
  await keep(
    await withNonce(request, response =>
      oauth.processAuthorizationCodeResponse(server, client, response, checks),
    ),
  )
}

/** Two tabs may do this at once: the server answers both with the same next token. */
async function refresh() {
  const refreshToken = await store.get('refresh token')
  if (refreshToken === undefined) return
  const request = () => oauth.refreshTokenGrantRequest(server, client, oauth.None(), refreshToken, options)
  try {
    await keep(
      await withNonce(request, response => oauth.processRefreshTokenResponse(server, client, response)),
    )
  } catch (error) {
    // The session has ended at the server. Anything else is worth another try later.
    if (error.error === 'invalid_grant') await forget()
    else throw error
  }
}

/** A proof takes the server's newest nonce. Who has none yet, or an old one, is told it, and asks once more. */
async function withNonce(request, process) {
  try {
    return await process(await request())
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error
    return process(await request())
  }
}

async function keep(answer) {
  tokens = answer
  await store.put('refresh token', answer.refresh_token)
}

async function forget() {
  tokens = undefined
  await store.put('refresh token', undefined)
}

async function callApi() {
  const url = new URL('/orders', location.origin)
  const call = () => oauth.protectedResourceRequest(tokens.access_token, 'GET', url, undefined, null, options)
  const response = await call().catch(async error => {
    if (!(error instanceof oauth.WWWAuthenticateChallengeError)) throw error
    await refresh() // the token is too old by now, or its session has ended
    return tokens && call()
  })
  if (response) show('answer', JSON.stringify(await response.json(), null, 2))
}

async function logOut() {
  const url = new URL(server.end_session_endpoint)
  url.search = new URLSearchParams({
    id_token_hint: tokens.id_token,
    post_logout_redirect_uri: `${location.origin}/`,
  })
  await forget()
  location.assign(url)
}

function render() {
  const claims = tokens && oauth.getValidatedIdTokenClaims(tokens)
  show('status', claims ? `Hello ${claims.name ?? claims.sub}.` : 'Nobody is logged in.')
  show('claims', claims ? JSON.stringify(claims, null, 2) : '')
  for (const id of ['call', 'refresh', 'log-out']) document.getElementById(id).hidden = !claims
  document.getElementById('log-in').hidden = Boolean(claims)
}

/** Only ever as text: what comes from elsewhere is no HTML. */
function show(id, text) {
  document.getElementById(id).textContent = text
}

/** Does something, and shows what became of it. */
function run(action) {
  return action()
    .then(render)
    .catch(error => show('status', `It did not work: ${error.error_description ?? error.message}`))
}

/** A few values in IndexedDB, which can hold a key without showing it. */
async function openStore() {
  const done = request =>
    new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result)
      request.onerror = () => reject(request.error)
    })
  const opening = indexedDB.open('demo-spa')
  opening.onupgradeneeded = () => opening.result.createObjectStore('kept')
  const database = await done(opening)
  const kept = mode => database.transaction('kept', mode).objectStore('kept')
  return {
    get: name => done(kept('readonly').get(name)),
    add: (name, value) => done(kept('readwrite').add(value, name)),
    put: (name, value) => done(kept('readwrite').put(value, name)),
  }
}

for (const [id, action] of Object.entries({ 'log-in': logIn, call: callApi, refresh, 'log-out': logOut })) {
  document.getElementById(id).addEventListener('click', () => run(action))
}
await run(location.pathname === '/callback' ? comeBack : refresh)
