import { randomBytes } from 'node:crypto'
import type { NewClient } from '../../db/clients/clients.ts'
import type { ClientTable } from '../../db/schema.ts'
import { OAuthError } from '../errors.ts'
import { hashSecret, isSameHash, newClientSecret } from '../protocol/secrets.ts'
import { itemsOf } from '../values/list.ts'
import { always, readMetadata, type DocumentColumns } from './client-document.ts'
import { plainClientRow } from './registration.ts'

/** What a client says of itself, as JSON (RFC 7591 §2). */
export type SaidMetadata = Readonly<Record<string, unknown>>

const methods = ['client_secret_basic', 'client_secret_post', 'none', 'private_key_jwt']

/** A client that registers itself, with the secrets that are told once. */
export interface Registering {
  readonly row: NewClient
  /** Undefined for one that authenticates with keys, or not at all. */
  readonly secret: string | undefined
  /** With which it reads, changes and deletes its registration (RFC 7592 §3). */
  readonly registrationToken: string
}

/** The row of a client that registers itself. Throws what RFC 7591 §3.2.2 has for what cannot be. */
export function registering(said: SaidMetadata, now: number): Registering {
  const columns = readSaid(said)
  const secret = columns.auth_method === 'client_secret' ? newClientSecret() : undefined
  const registrationToken = `mm_ra_${randomBytes(32).toString('base64url')}`
  const row = plainClientRow({
    id: randomBytes(16).toString('base64url'),
    created_at: now,
    secret_hash: secret === undefined ? null : hashSecret(secret),
    ...columns,
    ...always,
    made_by: 'registration',
    registration_hash: hashSecret(registrationToken),
    credentials_set_at: columns.auth_method === 'none' ? null : now,
  })
  return { row, secret, registrationToken }
}

/** What is not to come back in a request that replaces a registration (RFC 7592 §2.2). */
const serverMembers = [
  'registration_access_token',
  'registration_client_uri',
  'client_secret_expires_at',
  'client_id_issued_at',
]

/** What a client that replaces its registration says of itself now (RFC 7592 §2.2). Throws as above. */
export function registeredAnew(client: ClientTable, said: SaidMetadata): DocumentColumns {
  if (said['client_id'] !== client.id) throw wrong('the client_id must be that of the client')
  for (const name of serverMembers) if (name in said) throw wrong(`${name} cannot be replaced`)
  if ('client_secret' in said && !isSecretOf(client, said['client_secret']))
    throw wrong('the client_secret is not that of the client, which cannot choose one: leave it out')
  const columns = readSaid(said)
  if (columns.auth_method === client.auth_method) return columns
  throw wrong('a client cannot change how it authenticates: register another')
}

const isSecretOf = ({ secret_hash }: Pick<ClientTable, 'secret_hash'>, secret: unknown) =>
  typeof secret === 'string' && secret_hash !== null && isSameHash(hashSecret(secret), secret_hash)

function readSaid(said: SaidMetadata): DocumentColumns {
  const read = readMetadata(said, { ownHost: undefined, methods, usualMethod: 'client_secret_basic' })
  if (read.kind === 'good') return read.columns
  throw new OAuthError(
    read.isOfRedirectUris ? 'invalid_redirect_uri' : 'invalid_client_metadata',
    read.reason,
  )
}

const wrong = (reason: string) => new OAuthError('invalid_client_metadata', reason)

/** What a client is registered as (RFC 7591 §3.2.1); `reach`: what it may ask for now. */
export function describeRegistration(
  row: Pick<ClientTable, keyof DocumentColumns | 'id' | 'created_at'>,
  reach: Pick<ClientTable, 'scope'>,
) {
  const { jwks, jwks_uri, client_name, client_uri, auth_method: method } = row
  return {
    client_id: row.id,
    client_id_issued_at: row.created_at,
    redirect_uris: itemsOf(row.redirect_uris),
    grant_types: itemsOf(row.grant_types),
    response_types: ['code'],
    token_endpoint_auth_method: method === 'client_secret' ? 'client_secret_basic' : method,
    scope: reach.scope,
    ...(row.authorization_details_types !== '' && {
      authorization_details_types: itemsOf(row.authorization_details_types),
    }),
    ...(client_name !== null && { client_name }),
    ...(client_uri !== null && { client_uri }),
    ...(jwks !== null && { jwks: JSON.parse(jwks) as unknown }),
    ...(jwks_uri !== null && { jwks_uri }),
    id_token_signed_response_alg: row.id_token_alg,
    dpop_bound_access_tokens: row.dpop_bound === 1,
    require_pushed_authorization_requests: row.par_required === 1,
  }
}
