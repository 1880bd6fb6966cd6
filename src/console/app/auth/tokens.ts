import { computed, signal } from '@preact/signals'
import { claimsOf } from '../parts/token.ts'
import { home, settings } from '../settings.ts'
import { leaveForLogIn, leaveForLogOut, readArrival } from './log-in.ts'
import { makeProof, now, readClock } from './proof.ts'

/*
 * The tokens of this page, in its memory alone: a reload asks the server again, which asks no questions as
 * long as the log-in lives.
 */

interface Tokens {
  readonly accessToken: string
  readonly refreshToken: string
  readonly idToken: string
  readonly expiresAt: number
}

/** Who is logged in, as the ID token says. */
export interface Person {
  readonly sub: string
  /** To show. */
  readonly name: string
  /** To log in with. */
  readonly username: string
  readonly roles: readonly string[]
}

export const person = signal<Person | undefined>(undefined)

/**
 * Whether this person may see and change everything, as far as the log-in knows: others are not offered what
 * the server would refuse them. The server decides.
 */
export const maySeeAll = computed(() => person.value?.roles.includes('mintmark:admin') ?? false)

/** Why there is no log-in; undefined as long as there is one, or one is under way. */
export const logInProblem = signal<string | undefined>(undefined)

let tokens: Tokens | undefined
let nonce: string | undefined
let refreshing: Promise<void> | undefined

/** To be called once, before anything is shown: returns when there are tokens. */
export async function begin(): Promise<void> {
  const arrival = readArrival()
  if (arrival.kind === 'plain') return leaveForLogIn()
  if (arrival.kind === 'refused') throw new LogInError(arrival.description)
  await take({
    grant_type: 'authorization_code',
    code: arrival.code,
    redirect_uri: home,
    code_verifier: arrival.verifier,
  })
  // From the server itself (OpenID Connect Core §3.1.3.7 6).
  const claims = claimsOf(tokens?.idToken ?? '')
  if (claims['nonce'] !== arrival.nonce) throw new LogInError('the ID token is of another log-in')
  person.value = personOf(claims)
}

function personOf(claims: Readonly<Record<string, unknown>>): Person {
  const { sub, preferred_username: username = sub, name = username, roles } = claims
  return {
    sub: String(sub),
    name: String(name),
    username: String(username),
    roles: Array.isArray(roles) ? roles.map(String) : [],
  }
}

/** A log-in that came to nothing, and is not tried again by itself. */
export class LogInError extends Error {}

/** An access token that is good for a while. Leaves for the log-in where the session has ended. */
export async function accessToken(): Promise<string> {
  if (!tokens || tokens.expiresAt - now() < 20) await refreshOnce()
  return tokens?.accessToken ?? ''
}

/** The server does not take the token any more, whatever its time says. */
export function forgetAccessToken(): void {
  if (tokens) tokens = { ...tokens, expiresAt: 0 }
}

export function logOut(): void {
  if (tokens) leaveForLogOut(tokens.idToken)
}

/** Once for all that wait for it. */
async function refreshOnce(): Promise<void> {
  refreshing ??= refresh().finally(() => (refreshing = undefined))
  await refreshing
}

async function refresh(): Promise<void> {
  try {
    await take({ grant_type: 'refresh_token', refresh_token: tokens?.refreshToken ?? '' })
    // Roles may have been given or taken since.
    if (tokens) person.value = personOf(claimsOf(tokens.idToken))
  } catch (error) {
    if (!(error instanceof LogInError)) throw error
    await leaveForLogIn()
  }
}

/**
 * Gets tokens from /token. Throws a `LogInError` where the server refuses them, and a `TypeError` where it
 * cannot answer, as a lost connection does.
 */
async function take(form: Readonly<Record<string, string>>): Promise<void> {
  let { response, answer } = await post(form)
  // RFC 9449 §8: the first request does not know the nonce yet; and a clock may be wrong.
  if (answer.error === 'use_dpop_nonce' || answer.error === 'invalid_dpop_proof')
    ({ response, answer } = await post(form))
  if (!response.ok) throw new LogInError(answer.error_description)
  tokens = {
    accessToken: answer.access_token,
    refreshToken: answer.refresh_token,
    idToken: answer.id_token ?? tokens?.idToken,
    expiresAt: now() + answer.expires_in,
  }
}

async function post(form: Readonly<Record<string, string>>) {
  const url = `${settings.issuer}/token`
  const response = await fetch(url, {
    method: 'POST',
    headers: { dpop: await makeProof({ method: 'POST', url, nonce }) },
    body: new URLSearchParams({ client_id: settings.clientId, ...form }),
    credentials: 'omit',
  })
  nonce = response.headers.get('dpop-nonce') ?? nonce
  readClock(response)
  // A proxy may answer in the place of the server, in whatever form.
  const answer = await response.json().catch(() => undefined)
  if (response.status >= 500 || !answer) throw new TypeError('the server cannot answer now')
  return { response, answer }
}
