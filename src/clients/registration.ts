import type { ClientSettings, NewClient } from '../../db/clients/clients.ts'
import { listOwnClaims } from '../../db/clients/own-claims.ts'
import { listResources } from '../../db/clients/resources.ts'
import type { Database } from '../../db/database.ts'
import type { ClientTable, ResourceTable } from '../../db/schema.ts'
import { isSubject, subjectKinds } from '../keys/proofs/certificate.ts'
import { readClientJwks } from '../keys/proofs/client-jwks.ts'
import { readDetailTypes } from '../protocol/detail-types.ts'
import { isFetchedUrl } from '../protocol/fetched-url.ts'
import { itemsOf } from '../values/list.ts'
import {
  authMethodOf,
  judgeClient,
  resourceFinder,
  type ClientVerdict,
  type FindResource,
} from './judge-client.ts'
import {
  eachProperty,
  plainProperties,
  properties,
  propertyColumns,
  type ClientMetadata,
  type PropertyColumns,
} from './properties.ts'
import { ownClaimOf, wishProblems } from './wishes.ts'

type KeyColumn = 'jwks' | 'jwks_uri' | 'keys_expire_at' | 'tls_subject'

/**
 * A declared client, as columns of its row. Leaves its id and its secrets alone, and of a client with a
 * secret the keys that it had before.
 */
export function clientSettings(
  client: ClientMetadata,
): PropertyColumns & Partial<Pick<ClientSettings, KeyColumn>> {
  return {
    ...(authMethodOf(client) === 'client_secret' ? {} : keySettings(client)),
    ...propertyColumns(client),
  }
}

/** The keys or certificate that a client without a secret authenticates with, as columns. */
export function keySettings({ jwks, jwks_uri, tls_subject }: DeclaredKeys): Pick<ClientSettings, KeyColumn> {
  return { jwks: properties.jwks.kind.toColumn(jwks), jwks_uri, tls_subject, keys_expire_at: null }
}

/** The row of a new client; only one that authenticates with a secret has a `secretHash`. */
export function newClientRow(
  client: ClientMetadata,
  { secretHash, now }: { readonly secretHash: Buffer | null; readonly now: number },
): NewClient {
  return {
    id: client.client_id,
    made_by: 'administrator',
    claimed_name: null,
    registration_hash: null,
    auth_method: authMethodOf(client),
    ...keySettings(client),
    secret_hash: secretHash,
    old_secret_hash: null,
    old_secret_expires_at: null,
    credentials_set_at: client.public ? null : now,
    ...propertyColumns(client),
    created_at: now,
    disabled_at: null,
  }
}

/** The row of a client of which only this is said: it has its secret or is public, and nothing special. */
export function plainClientRow(
  said: Pick<ClientTable, 'id' | 'created_at' | 'secret_hash'> & Partial<NewClient>,
): NewClient {
  const { id: client_id, secret_hash: secretHash, created_at: now } = said
  const plain = { client_id, ...plainProperties, public: secretHash === null }
  return { ...newClientRow(plain, { secretHash, now }), ...said }
}

/** The client that a row declares. */
export function clientMetadata(row: NewClient): ClientMetadata {
  return {
    client_id: row.id,
    ...eachProperty((_, { kind, column }) => column && kind.fromColumn(row[column])),
    public: row.auth_method === 'none',
    ...keysOf(row),
    federated: row.auth_method === 'federated',
    tls_self_signed: row.auth_method === 'self_signed_tls_client_auth',
  }
}

/**
 * The keys of a client with a secret are those that it is moving away from: they are not declared any more.
 */
function keysOf(row: Pick<ClientTable, 'auth_method' | KeyColumn>): DeclaredKeys {
  if (row.auth_method === 'client_secret') return { jwks: null, jwks_uri: null, tls_subject: null }
  const { jwks_uri, tls_subject } = row
  return { jwks: properties.jwks.kind.fromColumn(row.jwks), jwks_uri, tls_subject }
}

/** Whether there can be such a client, with the resources and the claims that there are. */
export async function judgeNewClient(db: Database, client: ClientMetadata): Promise<ClientVerdict> {
  const verdict = judgeRegistration(client, storedResources(await listResources(db)))
  const own = new Map((await listOwnClaims(db)).map(row => [row.name, ownClaimOf(row)]))
  return { ...verdict, refusals: [...verdict.refusals, ...wishProblems(client.claims, own)] }
}

/** Finds the resources of the database. */
export function storedResources(
  rows: readonly Pick<ResourceTable, 'uri' | 'scope' | 'alg' | 'authorization_details_types'>[],
): FindResource {
  return resourceFinder(
    rows.map(({ uri, scope, alg, authorization_details_types: types }) => ({
      uri,
      scope: itemsOf(scope),
      alg,
      authorization_details_types: readDetailTypes(types),
    })),
  )
}

/** Whether there can be such a client, its keys and names included. */
export function judgeRegistration(client: ClientMetadata, findResource: FindResource): ClientVerdict {
  const { refusals, warnings } = judgeClient(client, findResource)
  const keys = judgeKeys(client)
  return { refusals: [...refusals, ...keys.refusals], warnings: [...warnings, ...keys.warnings] }
}

type DeclaredKeys = Pick<ClientMetadata, 'jwks' | 'jwks_uri' | 'tls_subject'>

/** Whether these keys and names can be used, and what to know about them. */
export function judgeKeys({ jwks, jwks_uri, tls_subject }: DeclaredKeys): ClientVerdict {
  const refusals: string[] = []
  const warnings: string[] = []
  if (jwks !== null) {
    const read = readClientJwks(jwks)
    if (!read) refusals.push('the jwks is no JWK Set: it takes an object with a list of keys (RFC 7517 §5)')
    else if (read.hasPrivateKey) {
      refusals.push(
        'the jwks holds a private or a shared key: register the public half, and keep the private one',
      )
    } else if (read.keys.length === 0) {
      refusals.push(['the jwks holds no key that can be used', ...read.problems].join('; '))
    } else warnings.push(...read.problems.map(problem => `of the jwks, ${problem}`))
  }
  if (jwks_uri !== null && !isFetchedUrl(jwks_uri)) {
    refusals.push('the jwks_uri takes an https URL without credentials (http only for a loopback host)')
  }
  if (tls_subject !== null && !isSubject(tls_subject)) {
    refusals.push(
      `the tls_subject takes a name after its kind (${subjectKinds.join(', ')}), like san_dns:app.example or ` +
        'subject_dn:CN=app,O=Example,C=DE',
    )
  }
  return { refusals, warnings }
}
