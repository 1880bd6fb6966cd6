/*
 * A device without a browser, like a television: here it is a terminal, which shows a code and a picture of
 * it, and waits until somebody has confirmed it elsewhere (RFC 8628).
 *
 *   npm start                   in one terminal: a server, and what to log in with
 *   npm run example:device      in another one: this device
 */
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { renderUnicodeCompact } from 'uqr'

const issuer = process.env['ISSUER'] ?? 'http://127.0.0.1:9000'
const clientId = process.env['CLIENT_ID'] ?? 'demo-device'

interface Metadata {
  readonly device_authorization_endpoint: string
  readonly token_endpoint: string
}

const metadata = await fetch(`${issuer}/.well-known/oauth-authorization-server`).then(
  answer => answer.json() as Promise<Metadata>,
  error => {
    throw new Error(`${issuer} does not answer: start it with npm start`, { cause: error })
  },
)

/** What is used here of the answers of /device_authorization and /token. */
interface Answer {
  readonly error?: string
  readonly error_description?: string
  readonly device_code?: string
  readonly user_code?: string
  readonly verification_uri?: string
  readonly verification_uri_complete?: string
  readonly interval?: number
  readonly id_token?: string
  readonly refresh_token?: string
}

async function post(url: string, form: Readonly<Record<string, string>>): Promise<Answer> {
  const body = new URLSearchParams({ client_id: clientId, ...form })
  return (await fetch(url, { method: 'POST', body })).json() as Promise<Answer>
}

const asked = await post(metadata.device_authorization_endpoint, {
  scope: 'openid profile offline_access read',
})
const { device_code = '', user_code, verification_uri, verification_uri_complete = '' } = asked
if (asked.error !== undefined) throw new Error(asked.error_description)
console.log(renderUnicodeCompact(verification_uri_complete))
console.log(`Open ${verification_uri} on your phone or computer, and enter this code: ${user_code}`)

let { interval: seconds = 5 } = asked
let tokens: Answer
do {
  await sleep(seconds * 1000)
  tokens = await post(metadata.token_endpoint, {
    grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
    device_code,
  })
  // Each time, and from then on.
  if (tokens.error === 'slow_down') seconds += 5
} while (tokens.error === 'authorization_pending' || tokens.error === 'slow_down')
if (tokens.error !== undefined) throw new Error(tokens.error_description)

// It came from the server itself over a connection of our own (OpenID Connect Core §3.1.3.7), so it is only
// read.
const claims = JSON.parse(Buffer.from(tokens.id_token?.split('.')[1] ?? '', 'base64url').toString())
console.log(`Hello ${claims.name ?? claims.sub}. This device is connected.`)
const refreshed = await post(metadata.token_endpoint, {
  grant_type: 'refresh_token',
  refresh_token: tokens.refresh_token ?? '',
})
console.log(refreshed.error === undefined ? 'A refresh has worked too.' : refreshed.error_description)
