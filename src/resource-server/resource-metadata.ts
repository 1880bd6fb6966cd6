import { proofAlgorithms } from './bearer-error.ts'
import { isSafe } from './fetching.ts'

/** What the metadata say of an API beside where it is and who issues its tokens. */
export interface AboutApi {
  /** The scopes that a client asks for where nothing else tells it which. */
  readonly scopes?: readonly string[]
  /** The types of authorization details that it takes (RFC 9396). */
  readonly authorizationDetailsTypes?: readonly string[]
  /** What people call it. */
  readonly name?: string
  /** The URL of a page for developers. */
  readonly documentation?: string
}

/** The metadata of an API (RFC 9728 §2), and the URL at which clients find them (§3.1). */
export interface ResourceMetadata {
  readonly url: string
  readonly path: string
  readonly document: Readonly<Record<string, unknown>>
}

/** RFC 6749 §3.3 */
const scopeToken = /^[\x21\x23-\x5b\x5d-\x7e]+$/

/** Why there can be no metadata of such an API; undefined where there can. */
export function metadataProblem(audience: string, about: true | AboutApi): string | undefined {
  if (!isSafe(audience) || /[?#]/.test(audience))
    return 'metadata needs an audience that is the https URL of this API, without query and fragment (or a loopback one)'
  const {
    scopes = [],
    authorizationDetailsTypes: types = [],
    name,
    documentation,
  } = about === true ? {} : about
  if (!Array.isArray(scopes) || !scopes.every(scope => scopeToken.test(scope)))
    return 'the scopes of metadata must be a list of scopes'
  if (!Array.isArray(types) || !types.every(type => typeof type === 'string' && type !== ''))
    return 'the authorizationDetailsTypes of metadata must be a list of types'
  if (name !== undefined && (typeof name !== 'string' || name === ''))
    return 'the name of metadata must be a text'
  if (documentation !== undefined && !URL.canParse(documentation))
    return 'the documentation of metadata must be a URL'
  return undefined
}

export interface MetadataOptions {
  readonly issuer: string
  readonly audience: string
  readonly metadata: boolean | AboutApi
}

/** Undefined where none are shown. */
export function resourceMetadataOf(options: MetadataOptions): ResourceMetadata | undefined {
  const { issuer, audience, metadata } = options
  if (metadata === false) return undefined
  const {
    scopes,
    authorizationDetailsTypes: types,
    name,
    documentation,
  } = metadata === true ? ({} as AboutApi) : metadata
  const { origin, pathname } = new URL(audience)
  const path = `/.well-known/oauth-protected-resource${pathname === '/' ? '' : pathname}`
  const document = {
    resource: audience,
    authorization_servers: [issuer],
    ...(scopes && { scopes_supported: scopes }),
    ...(types && { authorization_details_types_supported: types }),
    bearer_methods_supported: ['header'],
    dpop_signing_alg_values_supported: proofAlgorithms,
    ...(name !== undefined && { resource_name: name }),
    ...(documentation !== undefined && { resource_documentation: documentation }),
  }
  return { url: origin + path, path, document }
}

/** The document is for everybody, and for pages of any origin. */
export const metadataHeaders: Readonly<Record<string, string>> = {
  'content-type': 'application/json',
  'cache-control': 'public, max-age=300',
  'access-control-allow-origin': '*',
}

/** What a page may send with its request, of which browsers ask first. */
export const metadataPreflightHeaders: Readonly<Record<string, string>> = {
  'access-control-allow-origin': '*',
  'access-control-allow-methods': 'GET, HEAD',
  'access-control-allow-headers': '*',
  'access-control-max-age': '86400',
}
