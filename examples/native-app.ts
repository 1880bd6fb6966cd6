/*
 * An app with log-in pages of its own, as one on a phone may have them: here they are questions in a
 * terminal.
 *
 *   npm start                   in one terminal: a server, and what to log in with
 *   npm run example:native      in another one: this app
 *
 * Only your own apps may do this (`client create --first-party`): people who type a password anywhere else
 * than at the server's pages have to trust the app. It never sees more than it asks for, knows second
 * factors, and leads to a browser where the server wants that.
 */
import process from 'node:process'
import { createInterface } from 'node:readline'
import { generateKeyPair, generateProof } from 'dpop'
import { calculatePKCECodeChallenge, randomPKCECodeVerifier } from 'openid-client'

const issuer = process.env['ISSUER'] ?? 'http://127.0.0.1:9000'
const clientId = 'demo-native'

interface Metadata {
  readonly authorization_endpoint: string
  readonly authorization_challenge_endpoint: string
  readonly token_endpoint: string
}

const metadata = await fetch(`${issuer}/.well-known/oauth-authorization-server`).then(
  answer => answer.json() as Promise<Metadata>,
  error => {
    throw new Error(`${issuer} does not answer: start it with npm start`, { cause: error })
  },
)

// Its tokens are bound to this key (RFC 9449). A phone keeps one that nothing can take out of it.
const keyPair = await generateKeyPair('ES256')
let nonce: string | undefined

/** Posts a form with a proof of the key, once more where the server wants a newer nonce in it. */
async function post(url: string, form: Readonly<Record<string, string>>): Promise<Answer> {
  for (;;) {
    const response = await fetch(url, {
      method: 'POST',
      headers: { dpop: await generateProof(keyPair, url, 'POST', nonce) },
      body: new URLSearchParams({ client_id: clientId, ...form }),
    })
    nonce = response.headers.get('dpop-nonce') ?? nonce
    const answer = (await response.json()) as Answer
    if (answer.error !== 'use_dpop_nonce') return answer
  }
}

/** What is used here of the answers of /authorize-challenge and /token. */
interface Answer {
  readonly error?: string
  readonly error_description?: string
  /** Goes on with what was shown before. */
  readonly auth_session?: string
  /** The parameters of which the next request has one. */
  readonly missing?: readonly string[]
  readonly request_uri?: string
  readonly authorization_code?: string
  readonly id_token?: string
  readonly refresh_token?: string
}

const terminal = createInterface({ input: process.stdin })
const lines = terminal[Symbol.asyncIterator]()

async function question(text: string): Promise<string> {
  process.stdout.write(text)
  const { value, done } = await lines.next()
  if (done) process.exit()
  return value
}

/** Asks for one of the factors that are missing. */
async function ask(missing: readonly string[]): Promise<Readonly<Record<string, string>>> {
  if (missing.includes('password')) {
    const username = await question('User name: ')
    return { username, password: await question('Password: ') }
  }
  const answer = await question('Code of your authenticator app, or a recovery code: ')
  return /^[\d\s]{6,8}$/.test(answer) ? { otp: answer } : { recovery_code: answer }
}

async function logIn(): Promise<Answer> {
  const verifier = randomPKCECodeVerifier()
  const request = {
    response_type: 'code',
    scope: 'openid profile offline_access read',
    code_challenge: await calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
  }
  let answer = await post(metadata.authorization_challenge_endpoint, request)
  while (answer.error === 'insufficient_authorization') {
    if (answer.auth_session === undefined) throw new Error('there is no session to go on with')
    console.log(answer.error_description)
    const shown = await ask(answer.missing ?? [])
    answer = await post(metadata.authorization_challenge_endpoint, {
      auth_session: answer.auth_session,
      ...shown,
    })
  }
  if (answer.error === 'redirect_to_web') {
    const query = new URLSearchParams({ client_id: clientId, request_uri: answer.request_uri ?? '' })
    console.log(
      `Go on in a browser, which comes back to the app: ${metadata.authorization_endpoint}?${query}`,
    )
    process.exit()
  }
  if (answer.authorization_code === undefined)
    throw new Error(answer.error_description ?? answer.error ?? 'no code')
  return post(metadata.token_endpoint, {
    grant_type: 'authorization_code',
    code: answer.authorization_code,
    code_verifier: verifier,
  })
}

let tokens = await logIn()
if (tokens.id_token === undefined) throw new Error(tokens.error_description ?? tokens.error ?? 'no ID token')
// It came from the server itself over a connection of our own (OpenID Connect Core §3.1.3.7), so it is only
// read.
const claims = JSON.parse(Buffer.from(tokens.id_token.split('.')[1] ?? '', 'base64url').toString())
console.log(`Hello ${claims.name ?? claims.sub}. You have logged in with ${claims.amr.join(', ')}.`)

tokens = await post(metadata.token_endpoint, {
  grant_type: 'refresh_token',
  refresh_token: tokens.refresh_token ?? '',
})
console.log(tokens.error === undefined ? 'A refresh has worked too.' : tokens.error_description)
terminal.close()
