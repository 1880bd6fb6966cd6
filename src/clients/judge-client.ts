import { grantFacts, grantNames, isGrantType, tokenExchange } from '../protocol/grant-types.ts'
import { formatDuration } from '../values/duration.ts'
import { fapiRefusals } from './judge-fapi.ts'
import { logInRefusals, logInWarnings } from './judge-log-in.ts'
import type { ClientMetadata } from './properties.ts'

/** A `client_id` (RFC 6749 §2.2) that is the same in URLs, forms and headers, however it is encoded. */
export const clientIdForm = /^[A-Za-z0-9._~-]{1,128}$/

export type AuthMethod =
  | 'none'
  | 'client_secret'
  | 'private_key_jwt'
  | 'federated'
  | 'tls_client_auth'
  | 'self_signed_tls_client_auth'

/** How a client authenticates, which follows from what it has. */
export function authMethodOf(
  client: Pick<
    ClientMetadata,
    'public' | 'jwks' | 'jwks_uri' | 'federated' | 'tls_subject' | 'tls_self_signed'
  >,
): AuthMethod {
  if (client.public) return 'none'
  if (client.federated) return 'federated'
  if (client.tls_subject !== null) return 'tls_client_auth'
  if (client.tls_self_signed) return 'self_signed_tls_client_auth'
  return client.jwks !== null || client.jwks_uri !== null ? 'private_key_jwt' : 'client_secret'
}

export interface ClientVerdict {
  /** Why there can be no such client. */
  readonly refusals: readonly string[]
  /** Advice to its owner. */
  readonly warnings: readonly string[]
}

/** A resource, as far as clients are judged by it. */
export interface KnownResource {
  readonly uri: string
  readonly scope: readonly string[]
  /** Its types of authorization details, by their names. */
  readonly authorization_details_types: object
  /** The JWS algorithm of its tokens. */
  readonly alg: string
}

/** Finds a resource by its URI; undefined when there is none. */
export type FindResource = (uri: string) => KnownResource | undefined

/** Finds these; of two with one URI, the later. */
export function resourceFinder(resources: readonly KnownResource[]): FindResource {
  const known = new Map(resources.map(resource => [resource.uri, resource]))
  return uri => known.get(uri)
}

/** Whether there can be such a client. */
export function judgeClient(client: ClientMetadata, findResource: FindResource): ClientVerdict {
  return {
    refusals: [
      ...idRefusals(client.client_id),
      ...refusals(client),
      ...authRefusals(client),
      ...exchangeRefusals(client),
      ...logInRefusals(client),
      ...fapiRefusals(client, uri => findResource(uri)?.alg),
      ...unknownResources(client, findResource),
    ],
    warnings: [...warnings(client), ...logInWarnings(client), ...useless(client, findResource)],
  }
}

/**
 * A client id stands unescaped in URLs, headers and logs, and is never a user's `sub`, which is a UUID (RFC
 * 9068 §5).
 */
function idRefusals(id: string): string[] {
  if (!clientIdForm.test(id)) {
    return [`${JSON.stringify(id)} cannot be a client_id: it takes up to 128 of A-Z a-z 0-9 . _ ~ -`]
  }
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id)) {
    return [
      `${id} cannot be a client_id: the sub of a user has the form of a UUID, and must not meet a client's`,
    ]
  }
  return []
}

function* refusals(client: ClientMetadata): Generator<string> {
  const {
    grant_types,
    admin,
    refresh,
    resource_server,
    refresh_idle_ttl: idle,
    refresh_absolute_ttl: absolute,
  } = client
  for (const grantType of grant_types) {
    if (!isGrantType(grantType))
      yield `${grantType} is no grant type here: there are ${grantNames.join(', ')}`
  }
  if (grant_types.length === 0 && resource_server.length === 0) {
    yield `a client without a grant can do nothing: give it some of ${grantNames.join(', ')}`
  }
  if (client.public) {
    // RFC 6749 §4.4, RFC 7662 §2.1, RFC 9700 §4.14.2.
    for (const grantType of grant_types) {
      if (isGrantType(grantType) && !grantFacts[grantType].isForPublic)
        yield `a public client cannot have ${grantType}: it has no secret`
    }
    if (admin) yield 'a public client cannot be an admin: it has no secret'
    if (resource_server.length > 0) yield 'a public client cannot introspect tokens: it has no secret'
    if (refresh === 'reuse' && !isBound(client))
      yield (
        'a public client cannot reuse refresh tokens that are bound to no key: whoever copies one could use it ' +
        'for ever (--dpop required binds them)'
      )
    if (client.forwards_user_address)
      yield 'a public client cannot forward addresses: it has no secret, so anybody could make them up'
  }
  if (idle !== null && absolute !== null && idle > absolute) {
    yield (
      `the idle limit (${formatDuration(idle)}) is longer than the absolute one ` +
      `(${formatDuration(absolute)}), but no session outlives the latter`
    )
  }
}

/** RFC 8693 */
function* exchangeRefusals({ grant_types, resources, may_impersonate }: ClientMetadata): Generator<string> {
  const hasExchange = grant_types.includes(tokenExchange)
  if (hasExchange && resources.length === 0)
    yield 'a client that exchanges tokens gets them for some API: say which with --resource'
  if (may_impersonate && !hasExchange)
    yield `it may impersonate users by exchanging their tokens alone: give it ${tokenExchange}, or not --may-impersonate`
}

function isBound(client: ClientMetadata): boolean {
  return client.dpop_bound_access_tokens || client.tls_client_certificate_bound_access_tokens
}

function* authRefusals(client: ClientMetadata): Generator<string> {
  const { jwks, jwks_uri, tls_subject, tls_self_signed, federated } = client
  const hasKeys = jwks !== null || jwks_uri !== null
  if (client.public && (hasKeys || tls_subject !== null || tls_self_signed)) {
    yield 'a public client has nothing to authenticate with: leave its keys and names out, or do not call it public'
  }
  if (federated && (client.public || hasKeys || tls_subject !== null || tls_self_signed)) {
    yield 'a federated client is known by what trusted issuers say of it, and has no keys and no names of its own'
  }
  if (jwks !== null && jwks_uri !== null) yield 'it has its keys in jwks or at jwks_uri, and not both'
  if (tls_subject !== null && (hasKeys || tls_self_signed)) {
    yield 'a client with a tls_subject is known by the name in its certificate, and has no keys of its own'
  }
  if (tls_self_signed && !hasKeys) {
    yield 'a self-signed certificate is known by its key: give the client jwks or jwks_uri'
  }
  if (client.dpop_bound_access_tokens && client.tls_client_certificate_bound_access_tokens) {
    yield 'its tokens are bound to one key: to that of DPoP or to that of its certificate'
  }
}

function* unknownResources(
  { resources, resource_server }: ClientMetadata,
  findResource: FindResource,
): Generator<string> {
  for (const uri of new Set([...resources, ...resource_server])) {
    if (!findResource(uri))
      yield `there is no resource ${uri}: \`mintmark resource create ${uri} --scope …\` adds it`
  }
}

function* warnings(client: ClientMetadata): Generator<string> {
  const { grant_types, admin, refresh, refresh_idle_ttl, refresh_absolute_ttl, profile } = client
  const hasRefresh = grant_types.includes('refresh_token')
  if (grant_types.includes('password')) {
    yield 'RFC 9700 §2.4 forbids the password grant: it is for your own apps alone, and the README says what to use instead'
    if (!client.public && !client.forwards_user_address) {
      yield (
        'all its users come from one address here, so guesses at their passwords are limited for each account only: ' +
        "if it can send its user's address in the header Forwarded, say so with --forwards-user-address"
      )
    }
  }
  if (hasRefresh && !grant_types.some(type => isGrantType(type) && grantFacts[type].startsUserSession)) {
    yield 'it has refresh_token, but no grant that yields a refresh token'
  }
  if (!hasRefresh && (refresh !== 'rotate' || refresh_idle_ttl !== null || refresh_absolute_ttl !== null)) {
    yield 'without the grant refresh_token its refresh settings do not count'
  }
  if (refresh === 'strict') {
    yield (
      'strict: a refresh token presented twice ends the session, so a lost response logs the user out, ' +
      'and a request that was answered with 503 is not always safe to retry'
    )
  }
  // What fapi2 demands besides makes a stolen one useless.
  if (refresh === 'reuse' && !(client.public && isBound(client)) && profile !== 'fapi2') {
    yield 'reuse: its refresh tokens never change, so a stolen one works unseen until its session ends'
  }
  if (grant_types.includes(tokenExchange) && client.resource_server.length === 0) {
    yield 'it serves no API (--resource-server), so it may exchange only tokens that were issued to itself'
  }
  if (client.may_impersonate) {
    yield 'nothing in the tokens that it exchanges says that it acts for their users: only the audit trail does'
  }
  if (admin) {
    yield "an admin may introspect and revoke everybody's tokens: keep its secret like a root password"
  }
  if (
    client.tls_subject !== null ||
    client.tls_self_signed ||
    client.tls_client_certificate_bound_access_tokens
  ) {
    yield 'its certificate comes from a proxy that ends TLS: MINTMARK_CLIENT_CERT and MINTMARK_TRUST_PROXY must be set'
  }
}

function* useless(client: ClientMetadata, findResource: FindResource): Generator<string> {
  const { scope, resources, authorization_details_types: types } = client
  const known = new Set(resources.flatMap(uri => findResource(uri)?.scope ?? []))
  const useless = resources.length === 0 ? [] : scope.filter(item => !known.has(item))
  if (useless.length > 0)
    yield `none of its resources knows ${useless.join(', ')}, so its tokens will never have it`
  if (scope.length === 0 && resources.length > 0 && types.length === 0)
    yield 'it has no scope, so neither will its tokens'
  const unknown = types.filter(
    type => !resources.some(uri => Object.hasOwn(findResource(uri)?.authorization_details_types ?? {}, type)),
  )
  if (unknown.length > 0)
    yield `none of its resources knows ${unknown.join(', ')}, so it will be refused authorization details of it`
}
