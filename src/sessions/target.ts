import { fapiAlgs, isFapi } from '../clients/fapi.ts'
import type { Client, Resource } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import { OAuthError } from '../errors.ts'
import { defaultAlg } from '../keys/algorithms.ts'
import { narrowDetails, storedDetails, type AuthorizationDetails } from '../protocol/authorization-details.ts'
import type { Form } from '../protocol/form.ts'
import { isOpenidScope } from '../protocol/openid-scopes.ts'
import { meantResource } from '../protocol/resource.ts'
import { logsPeopleIn } from '../protocol/request-target.ts'
import { parseScope } from '../protocol/scope.ts'
import { itemsOf } from '../values/list.ts'

/** The resource and the scope that one access token is for. */
export interface Target {
  /** The `aud`: a resource's URI, or the issuer where the client has no resource. */
  readonly audience: string
  /** Separated by spaces; only what the resource knows (RFC 9068 §2.2.3), and scopes of OpenID Connect. */
  readonly scope: string
  /** What exactly it allows there (RFC 9396). */
  readonly details: AuthorizationDetails
  /** The JWS algorithm that the resource takes. */
  readonly alg: string
  readonly accessTokenSeconds: number
  /** Whether the token says where its status is listed. */
  readonly hasStatus: boolean
  /** The claims that its resource wants; null for `roles`, where there are any. */
  readonly claims: readonly string[] | null
}

/** The consent of a person, or of a machine's administrator: a request may ask for less, never for more. */
export interface Authorization {
  /** Separated by spaces. */
  readonly scope: string
  /** The one resource of it; null for any of the client's. */
  readonly resource: string | null
  /** JSON of what exactly was granted (RFC 9396), at that resource; null, or nothing, where nothing was. */
  readonly authorization_details?: string | null
}

/** As much of a context as finds resources. */
export interface WithRegistry {
  readonly clients: Pick<Context['clients'], 'registry'>
}

/**
 * The resources that there are of those which the client may have tokens for, in the client's order. A
 * caller that changes something asks for them before, so that nothing can fail afterwards.
 */
export async function resourcesOf({ clients }: WithRegistry, client: Client): Promise<readonly Resource[]> {
  const resources = await clients.registry.findResources(client.resources)
  if (client.resources !== '' && resources.length === 0) throw badTarget()
  return resources
}

/**
 * Finds the resource (RFC 8707 §2) and the scope (RFC 6749 §3.3) that a request is for, within what was
 * granted. A scope that the client asks for by name is refused if it cannot be had; one that it does not ask
 * for is left out. Where the request names no resource, its scope tells which one is meant (RFC 9068 §3).
 */
export function targetOf(
  { config }: Pick<Context, 'config'>,
  { client, resources }: { readonly client: Client; readonly resources: readonly Resource[] },
  form: Form,
  authorization: Authorization,
): Target {
  const named = meantResource(form.get('resource'), resources) ?? authorization.resource
  if (named !== null && authorization.resource !== null && named !== authorization.resource) throw badTarget()
  if (named?.includes(' '))
    throw new OAuthError('invalid_target', 'a token is for one resource: send one resource parameter')
  // A resource that was taken from the client since the log-in is taken from the session too.
  const candidates = named === null ? resources : resources.filter(({ uri }) => uri === named)
  if (named !== null && candidates.length === 0) throw badTarget()

  const askedText = form.get('scope')
  const asked = askedText === undefined ? undefined : parseScope(askedText)
  // The same holds for a scope.
  const ofClient = itemsOf(client.scope)
  const isForAny = (scope: string) => isOpenidScope(scope) && logsPeopleIn(client)
  const granted = itemsOf(authorization.scope).filter(scope => ofClient.includes(scope) || isForAny(scope))
  const resource = choose(candidates, asked ?? granted, isForAny)

  const known = resource ? itemsOf(resource.scope) : granted
  const available = granted.filter(scope => known.includes(scope) || isForAny(scope))
  if (asked && !asked.every(scope => available.includes(scope))) {
    throw new OAuthError('invalid_scope', 'a requested scope is not granted to this client for this resource')
  }
  if (isFapi(client) && !fapiAlgs.includes(algAt(resource))) {
    throw new OAuthError(
      'invalid_target',
      'tokens for this resource are signed with an algorithm that the profile of this client does not allow',
    )
  }
  const target = targetAt({ config }, resource, (asked ?? available).join(' '))
  const { authorization_details: stored = null } = authorization
  if (stored === null && !form.has('authorization_details')) return target
  return { ...target, details: detailsWithin(form, { client, resource, granted: storedDetails(stored) }) }
}

/** Those of what was granted that a request asks for (RFC 9396 §6). Throws where it asks for more. */
export function detailsWithin(form: Form, facts: Parameters<typeof narrowDetails>[1]): AuthorizationDetails {
  const details = narrowDetails(form, facts)
  if (details) return details
  throw new OAuthError(
    'invalid_authorization_details',
    'the authorization_details are more than what was granted for this resource: leave out some of that, and change nothing',
  )
}

/** A target at a resource, or without one at this server itself, with the settings that this has now. */
export function targetAt(
  { config }: Pick<Context, 'config'>,
  resource: Resource | undefined,
  scope: string,
): Target {
  return {
    audience: resource?.uri ?? config.issuer,
    scope,
    details: [],
    alg: algAt(resource),
    accessTokenSeconds: resource?.access_token_seconds ?? config.accessTokenSeconds,
    hasStatus: resource?.has_status !== 0,
    claims: claimsWantedBy(resource),
  }
}

/** The claims that a resource wants in its tokens; null where it has not said so. */
export function claimsWantedBy(resource: Pick<Resource, 'claims'> | undefined): readonly string[] | null {
  return resource?.claims == null ? null : itemsOf(resource.claims)
}

/** Until a key of its own algorithm may sign, another one does. */
const algAt = (resource: Resource | undefined) => resource?.previous_alg ?? resource?.alg ?? defaultAlg

/**
 * The first resource that knows all of the scopes, or else any of them, or else the first. A refresh asks for
 * the scopes that the log-in was granted, so it is for the same resource. Scopes for any resource do not
 * tell.
 */
function choose(
  resources: readonly Resource[],
  wanted: readonly string[],
  isForAny: (scope: string) => boolean,
): Resource | undefined {
  if (resources.length < 2) return resources[0]
  const scopes = wanted.filter(scope => !isForAny(scope))
  const knows = (resource: Resource) => (scope: string) => itemsOf(resource.scope).includes(scope)
  return (
    resources.find(resource => scopes.every(knows(resource))) ??
    resources.find(resource => scopes.some(knows(resource))) ??
    resources[0]
  )
}

const badTarget = () =>
  new OAuthError('invalid_target', 'the resource is unknown, or not one that this client may ask tokens for')
