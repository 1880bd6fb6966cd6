import type { ClientTable } from '../../db/schema.ts'
import { algorithms } from '../keys/algorithms.ts'
import { isDetailTypeName } from '../protocol/detail-types.ts'
import { hostOfDocument } from '../protocol/document-url.ts'
import { isRedirectUri } from '../protocol/redirect-uri.ts'
import { areTexts, isObject } from '../values/json.ts'
import { isShownText } from '../values/shown-text.ts'
import { judgeKeys, plainClientRow } from './registration.ts'
import type { Client } from './registry.ts'

const columnNames = [
  'auth_method',
  'jwks',
  'jwks_uri',
  'grant_types',
  'redirect_uris',
  'authorization_details_types',
  'cors_origins',
  'client_name',
  'claimed_name',
  'client_uri',
  'dpop_bound',
  'par_required',
  'id_token_alg',
] as const satisfies readonly (keyof ClientTable)[]

/** What a document says of its client, as columns of a row. */
export type DocumentColumns = Pick<ClientTable, (typeof columnNames)[number]>

/** The same columns of a client. */
export function documentColumns(client: ClientTable): DocumentColumns {
  return Object.fromEntries(columnNames.map(name => [name, client[name]])) as DocumentColumns
}

/** A document, read: the client, or why there can be none. The reason is constant, for who has written it. */
export type ReadDocument =
  | { readonly kind: 'good'; readonly columns: DocumentColumns }
  | {
      readonly kind: 'refused'
      readonly reason: string
      /** RFC 7591 §3.2.2 has a code of its own for them. */
      readonly isOfRedirectUris?: boolean
    }

/** More than any app has. */
const redirectUrisMax = 20
const detailTypesMax = 50
const redirectUrisSentence =
  `its redirect_uris must be 1 to ${redirectUrisMax} URIs: https, http to a loopback address, or of a private scheme ` +
  'with a dot; without fragment and wildcard'

/** The grants that a client may have that no administrator has made. */
const openGrants: readonly string[] = ['authorization_code', 'refresh_token']

/**
 * Reads what the document at `id` says of its client (draft-ietf-oauth-client-id-metadata-document §4, RFC
 * 7591 §2). A member that is not known here says nothing; one that cannot be is a refusal.
 */
export function readClientDocument(id: string, document: unknown): ReadDocument {
  if (!isObject(document)) return refused('it is no JSON object')
  if (document['client_id'] !== id) return refused('its client_id is not the URL at which it lies')
  if ('client_secret' in document || 'client_secret_expires_at' in document)
    return refused('it has a client_secret, which everybody could read')
  return readMetadata(document, { ownHost: hostOfDocument(id), methods: ['none', 'private_key_jwt'] })
}

/** Where the metadata of a client come from that no administrator has made. */
export interface MetadataSource {
  /** The host that is known to answer for the client: its name, and where its home page may be. */
  readonly ownHost: string | undefined
  readonly methods: readonly string[]
  /** That of one that does not say how it authenticates; where undefined, its keys tell. */
  readonly usualMethod?: string
}

/** Reads the metadata of a client (RFC 7591 §2) that no administrator has made. */
export function readMetadata(
  metadata: Readonly<Record<string, unknown>>,
  { ownHost, methods, usualMethod }: MetadataSource,
): ReadDocument {
  const { jwks, jwks_uri, redirect_uris: uris, client_name: name = null } = metadata
  const hasKeys = jwks !== undefined || jwks_uri !== undefined
  const usual = usualMethod ?? (hasKeys ? 'private_key_jwt' : 'none')
  const method = metadata['token_endpoint_auth_method'] ?? usual
  if (!methods.some(one => one === method))
    return refused(`its token_endpoint_auth_method must be one of ${methods.join(', ')}`)
  if (!areTexts(uris) || uris.length === 0 || uris.length > redirectUrisMax || !uris.every(isRedirectUri))
    return { kind: 'refused', reason: redirectUrisSentence, isOfRedirectUris: true }
  if (name !== null && !(typeof name === 'string' && isShownText(name, 100)))
    return refused('its client_name must be a text of up to 100 characters that can be seen')
  const grants = metadata['grant_types'] ?? ['authorization_code']
  if (!areTexts(grants) || !grants.includes('authorization_code'))
    return refused('its grant_types must have authorization_code')
  const responses = metadata['response_types'] ?? ['code']
  if (!areTexts(responses) || !responses.includes('code')) return refused('its response_types must have code')
  const types = metadata['authorization_details_types'] ?? []
  if (!areTexts(types) || types.length > detailTypesMax || !types.every(isDetailTypeName))
    return refused(
      'its authorization_details_types must be a list of types, as the metadata of this server name them',
    )
  const keys = readKeys(method === 'private_key_jwt' ? metadata : {}, method)
  if (typeof keys === 'string') return refused(keys)
  const columns: DocumentColumns = {
    auth_method: methodOf(method),
    ...keys,
    grant_types: openGrants.filter(grant => grants.includes(grant)).join(' '),
    redirect_uris: [...new Set(uris)].join(' '),
    authorization_details_types: [...new Set(types)].join(' '),
    cors_origins: originsOf(uris).join(' '),
    client_name: ownHost ?? name,
    claimed_name: name,
    client_uri: homeOf(metadata['client_uri'], ownHost),
    dpop_bound: metadata['dpop_bound_access_tokens'] === true ? 1 : 0,
    par_required: metadata['require_pushed_authorization_requests'] === true ? 1 : 0,
    id_token_alg: algOf(metadata['id_token_signed_response_alg']),
  }
  return { kind: 'good', columns }
}

/** The client of a document that has no row yet, which it gets once a person allows it something. */
export function clientOfDocument(id: string, columns: DocumentColumns): Client {
  const row = plainClientRow({ id, created_at: 0, secret_hash: null, ...columns, ...always })
  return { ...row, made_by: 'document', epoch: 0 }
}

/** What holds for all clients that no administrator has made. */
export const always = { consent: 'always', refresh_policy: 'rotate', pkce: 'required' } as const

/** Both ways to send a secret are one here. */
function methodOf(method: unknown): DocumentColumns['auth_method'] {
  return method === 'none' || method === 'private_key_jwt' ? method : 'client_secret'
}

const refused = (reason: string): ReadDocument => ({ kind: 'refused', reason })

function readKeys(
  { jwks = null, jwks_uri: uri = null }: Readonly<Record<string, unknown>>,
  method: unknown,
): Pick<DocumentColumns, 'jwks' | 'jwks_uri'> | string {
  if (method !== 'private_key_jwt') return { jwks: null, jwks_uri: null }
  if (!(jwks === null || isObject(jwks)) || !(uri === null || typeof uri === 'string'))
    return 'its jwks must be an object, and its jwks_uri a URL'
  if ((jwks === null) === (uri === null))
    return 'private_key_jwt needs its keys in jwks or at jwks_uri, and not both'
  const [problem] = judgeKeys({ jwks, jwks_uri: uri, tls_subject: null }).refusals
  return problem ?? { jwks: jwks && JSON.stringify(jwks), jwks_uri: uri }
}

/** The pages of an app are where it takes its answers. */
function originsOf(uris: readonly string[]): readonly string[] {
  const origins = uris.filter(uri => /^https?:/.test(uri)).map(uri => new URL(uri).origin)
  return [...new Set(origins)]
}

/** People are led to the client's own site alone. */
function homeOf(uri: unknown, ownHost: string | undefined): string | null {
  if (typeof uri !== 'string' || !uri.startsWith('https://') || !isRedirectUri(uri)) return null
  return URL.parse(uri)?.host === ownHost ? uri : null
}

function algOf(alg: unknown): string {
  return typeof alg === 'string' && algorithms.has(alg) ? alg : 'RS256'
}
