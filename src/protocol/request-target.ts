import { itemsOf } from '../values/list.ts'
import type { RefusedCode } from './authorization-request.ts'
import type { Form } from './form.ts'
import { deviceGrant } from './grant-types.ts'
import { isOpenidScope, offlineAccess } from './openid-scopes.ts'
import { isChallenge } from './pkce.ts'
import { meantResource } from './resource.ts'

/*
 * What a request is for that a client makes for a person, at /authorize or for a device: its resource, its
 * scope, and the key that its tokens are to be bound to.
 */

/** Columns of the client that count here. */
export interface ClientOfTarget {
  readonly grant_types: string
  readonly scope: string
  readonly tls_bound: number
}

/** A resource of the client's. */
export interface ResourceOfTarget {
  readonly uri: string
  readonly scope: string
}

interface TargetFacts {
  readonly client: ClientOfTarget
  /** Those that there are of the client's. */
  readonly resources: readonly ResourceOfTarget[]
}

export interface Refusal {
  readonly error: RefusedCode
  /** Constant. */
  readonly description: string
}

export const invalid = (description: string): Refusal => ({ error: 'invalid_request', description })

export function hasGrant({ grant_types }: Pick<ClientOfTarget, 'grant_types'>, grant: string): boolean {
  return itemsOf(grant_types).includes(grant)
}

/**
 * Whether people log in to the client with a browser, here or beside a device, so that it may have scopes of
 * OpenID Connect.
 */
export function logsPeopleIn(client: Pick<ClientOfTarget, 'grant_types'>): boolean {
  return hasGrant(client, 'authorization_code') || hasGrant(client, deviceGrant)
}

export function wordsOf(form: Form, name: string): readonly string[] {
  const words = (form.get(name) ?? '').split(' ').filter(word => word !== '')
  return [...new Set(words)]
}

/** RFC 8707 §2, RFC 6749 §3.3. */
export function refuseTarget(form: Form, { client, resources }: TargetFacts): Refusal | undefined {
  const resource = resourceOf(form, resources)
  if (resource?.includes(' '))
    return { error: 'invalid_target', description: 'a session is for one resource, or any: name one or none' }
  if (resource !== undefined && !resources.some(({ uri }) => uri === resource)) {
    return {
      error: 'invalid_target',
      description: 'the resource is unknown, or not one that this client may ask tokens for',
    }
  }
  const available = availableScopes(form, client, resources)
  const asked = itemsOf(form.get('scope') ?? '')
  if (asked.every(scope => isOpenidScope(scope) || available.includes(scope))) return undefined
  return {
    error: 'invalid_scope',
    description: 'a requested scope is malformed, or not granted to this client for this resource',
  }
}

/** The URI of the resource that is named, as it is known here. */
export function resourceOf(form: Form, resources: readonly ResourceOfTarget[]): string | undefined {
  return meantResource(form.get('resource'), resources)
}

/** The client's scopes of the resource that is named. */
function availableScopes(
  form: Form,
  client: ClientOfTarget,
  resources: readonly ResourceOfTarget[],
): readonly string[] {
  const named = resourceOf(form, resources)
  const resource = resources.find(({ uri }) => uri === named)
  const ofClient = itemsOf(client.scope)
  return resource ? ofClient.filter(scope => itemsOf(resource.scope).includes(scope)) : ofClient
}

/**
 * What is asked for, or all that the client may have of resources. Without refresh tokens nothing outlives a
 * sign-in, so `offline_access` is left out, which libraries ask for as a matter of course.
 */
export function scopeOf(
  form: Form,
  client: ClientOfTarget,
  resources: readonly ResourceOfTarget[],
): readonly string[] {
  const scope = form.get('scope')
  const asked = scope === undefined ? availableScopes(form, client, resources) : itemsOf(scope)
  const mayRefresh = hasGrant(client, 'refresh_token')
  return [...new Set(asked)].filter(scope => scope !== offlineAccess || mayRefresh)
}

/** RFC 9449 §10 and §10.1. */
export function refuseKey(
  form: Form,
  { client, proofJkt }: { readonly client: ClientOfTarget; readonly proofJkt: string | null },
): Refusal | undefined {
  const jkt = form.get('dpop_jkt') ?? proofJkt
  if (jkt === null) return undefined
  if (!isChallenge(jkt)) return invalid('the dpop_jkt is no SHA-256 in base64url')
  if (proofJkt !== null && jkt !== proofJkt) return invalid('the dpop_jkt is not that of the DPoP proof')
  return client.tls_bound === 1
    ? invalid('the tokens of this client are bound to its certificate')
    : undefined
}
