import { draftOf } from '../parts/draft.ts'
import { home, settings } from '../settings.ts'
import { randomText, sha256 } from './proof.ts'

/*
 * The way through /authorize (RFC 6749 §4.1 with PKCE, OpenID Connect Core §3.1). What has to outlive it
 * lies in the memory of this tab: no token, and no key.
 */

interface Journey {
  readonly state: string
  readonly nonce: string
  readonly verifier: string
  /** The address to come back to. */
  readonly to: string
  readonly draft: Draft | undefined
}

/** What was typed into a form before its sender had to log in again, by the names of the fields. */
export type Draft = Readonly<Record<string, { readonly was: string; readonly typed: string }>>

/** What a log-in has to have, beside being one (RFC 9470 §3). */
export interface Demand {
  readonly maxAge?: string | undefined
  readonly acr?: string | undefined
}

const key = 'mintmark-log-in'

/**
 * Leaves for the log-in, which comes back here, with what was typed into the form that is open; it asks
 * nothing of a browser that is logged in.
 */
export async function leaveForLogIn({ maxAge, acr }: Demand = {}): Promise<never> {
  const { pathname, search } = location
  const journey: Journey = {
    state: randomText(),
    nonce: randomText(),
    verifier: randomText() + randomText(),
    to: pathname + search,
    draft: draftOf(document.querySelector<HTMLFormElement>('dialog[open] form')),
  }
  sessionStorage.setItem(key, JSON.stringify(journey))
  const parameters = new URLSearchParams({
    response_type: 'code',
    client_id: settings.clientId,
    redirect_uri: home,
    scope: 'openid profile roles admin:write',
    state: journey.state,
    nonce: journey.nonce,
    code_challenge: await sha256(journey.verifier),
    code_challenge_method: 'S256',
    ...(maxAge !== undefined && { max_age: maxAge }),
    ...(acr !== undefined && { acr_values: acr }),
  })
  location.assign(`${settings.issuer}/authorize?${parameters}`)
  // The page is on its way out.
  return new Promise(() => {})
}

/** How somebody has come to this page. */
export type Arrival =
  | { readonly kind: 'plain' }
  | { readonly kind: 'code'; readonly code: string; readonly verifier: string; readonly nonce: string }
  | { readonly kind: 'refused'; readonly error: string; readonly description: string }

let arrived: Pick<Journey, 'to' | 'draft'> | undefined

/**
 * Reads the answer of the authorization server, if there is one in the address, and takes it out of there.
 * One that this tab has not asked for counts as none.
 */
export function readArrival(): Arrival {
  const query = new URLSearchParams(location.search)
  const [code, error, state] = ['code', 'error', 'state'].map(name => query.get(name))
  if (!state || (!code && !error)) return { kind: 'plain' }
  const stored = sessionStorage.getItem(key)
  sessionStorage.removeItem(key)
  // This tab has written it, or an older version of us.
  const journey = JSON.parse(stored ?? '{}') as Partial<Journey>
  const { to = home, verifier, nonce } = journey
  history.replaceState(null, '', to)
  // RFC 9207 §2.4: another server's answer is none of ours.
  const isOurs = journey.state === state && query.get('iss') === settings.issuer
  if (!isOurs || verifier === undefined || nonce === undefined) return { kind: 'plain' }
  if (error) return { kind: 'refused', error, description: query.get('error_description') ?? error }
  arrived = { to, draft: journey.draft }
  return { kind: 'code', code: code ?? '', verifier, nonce }
}

/** What the form at this address had in it before the log-in, until it is forgotten. */
export function draftHere(): Draft | undefined {
  return arrived && new URL(arrived.to, home).href === location.href ? arrived.draft : undefined
}

export function forgetDraft(): void {
  arrived = undefined
}

/** Ends the log-in in this browser with all its sessions; a form, since an ID token belongs in no address. */
export function leaveForLogOut(idToken: string): void {
  const form = document.createElement('form')
  form.method = 'post'
  form.action = `${settings.issuer}/log-out`
  const fields = {
    id_token_hint: idToken,
    client_id: settings.clientId,
    post_logout_redirect_uri: home,
  }
  for (const [name, value] of Object.entries(fields)) {
    const input = document.createElement('input')
    Object.assign(input, { type: 'hidden', name, value })
    form.append(input)
  }
  document.body.append(form)
  form.submit()
}
