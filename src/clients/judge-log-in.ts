import { algorithms } from '../keys/algorithms.ts'
import { deviceGrant } from '../protocol/grant-types.ts'
import { isFetchedUrl } from '../protocol/fetched-url.ts'
import { isRedirectUri } from '../protocol/redirect-uri.ts'
import { isShownText } from '../values/shown-text.ts'
import { logInProperties } from './log-in-properties.ts'
import type { ClientMetadata } from './properties.ts'

/** Why there can be no client that people log in to like this. */
export function* logInRefusals(client: ClientMetadata): Generator<string> {
  const { redirect_uris, client_uri } = client
  const hasCode = hasCodeGrant(client)
  if (hasCode && redirect_uris.length === 0 && !client.first_party) {
    yield 'people who log in must be sent back somewhere: give a client with authorization_code a --redirect-uri'
  }
  if (!hasCode && redirect_uris.length > 0) {
    yield 'it has redirect URIs, which nothing uses without the grant authorization_code: give it both, or neither'
  }
  if (client.first_party && !hasCode) {
    yield 'an app that asks people itself gets codes for it: give it the grant authorization_code, or not --first-party'
  }
  if (client.first_party && client.profile === 'fapi2') {
    yield 'FAPI 2.0 has people log in at the pages alone: leave out --first-party, or the profile'
  }
  if (client.first_party && client.consent !== 'never') {
    yield 'an app that asks people itself is your own, and asks nobody for consent: leave out --first-party, or --consent'
  }
  if (client.pkce === 'optional' && client.public) {
    yield 'a public client cannot leave out PKCE: whoever catches its code could redeem it (RFC 9700 §2.1.1)'
  }
  if (client_uri !== null && !isPage(client_uri)) {
    yield 'its home page takes an https URL without a fragment (http only for a loopback host)'
  }
  yield* logoutRefusals(client)
  for (const name of ['client_name', 'operator'] as const) {
    const text = client[name]
    if (text !== null && !isShownText(text, 100))
      yield `its ${name} takes up to 100 characters, none of them invisible, and no space at the ends`
  }
  const { userinfo_signed_response_alg: alg } = client
  if (alg !== null && !algorithms.has(alg)) {
    yield `${JSON.stringify(alg)} signs no answer of /userinfo: there are ${[...algorithms.keys()].join(', ')}`
  }
}

function* logoutRefusals(client: ClientMetadata): Generator<string> {
  const { backchannel_logout_uri: uri } = client
  if (uri === null) {
    if (client.backchannel_logout_session_required)
      yield 'it needs the session in what it is told, and is told nothing: give it a --back-channel-logout-uri'
    return
  }
  if (!isFetchedUrl(uri)) {
    yield 'its back-channel logout URI takes an https URL without credentials and fragment (http only for a loopback host)'
  }
}

/** Advice to the owner of such a client. */
export function* logInWarnings(client: ClientMetadata): Generator<string> {
  if (client.pkce === 'optional') {
    yield (
      'without PKCE a stolen code is good for whoever has the credentials of the client, and its own check of nonce ' +
      'or state is all that stops a code from being injected (RFC 9700 §4.5): let it use PKCE as soon as it can'
    )
  }
  const isForDevices = client.grant_types.includes(deviceGrant)
  if (isForDevices) {
    yield (
      'whoever talks somebody into confirming a code is in that account (RFC 10027): give the grant of devices only to ' +
      'apps on devices that have no browser, with no more scopes than they need'
    )
  }
  const isUseless = !hasCodeGrant(client) && !isForDevices && client.profile === 'none'
  const names = isUseless ? logInNames.filter(name => isSaid(client, name)) : []
  if (names.length > 0) yield `without the grant authorization_code its ${names.join(', ')} do not count`
}

function hasCodeGrant({ grant_types }: ClientMetadata): boolean {
  return grant_types.includes('authorization_code')
}

type LogInName = keyof typeof logInProperties

const logInNames = (Object.keys(logInProperties) as readonly LogInName[]).filter(
  name => name !== 'redirect_uris' && name !== 'client_name',
)

function isSaid(client: ClientMetadata, name: LogInName): boolean {
  return JSON.stringify(client[name]) !== JSON.stringify(logInProperties[name].kind.fallback)
}

/** A page that people can be led to: never `javascript:`. */
function isPage(text: string): boolean {
  return /^https?:/.test(text) && isRedirectUri(text)
}
