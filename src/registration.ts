import type { ClientSettings } from '../db/clients.ts'
import type { ClientTable, Database, ResourceTable } from '../db/database.ts'
import { listResources, type ResourceSettings } from '../db/resources.ts'
import { judgeClient, type ClientMetadata, type ClientVerdict } from './protocol/client-metadata.ts'
import type { ResourceMetadata } from './protocol/declaration.ts'

/** What a client is declared to be, as columns of its row. Leaves its id and its secrets alone. */
export function clientSettings(
  client: ClientMetadata,
): Omit<ClientSettings, 'secret_hash' | `old_secret_${string}`> {
  return {
    grant_types: client.grant_types.join(' '),
    scope: client.scope.join(' '),
    resources: client.resources.join(' '),
    introspects: client.resource_server.join(' '),
    is_admin: client.admin ? 1 : 0,
    refresh_policy: client.refresh,
    refresh_idle_seconds: client.refresh_idle_ttl,
    refresh_absolute_seconds: client.refresh_absolute_ttl,
    forwards_user_address: client.forwards_user_address ? 1 : 0,
    cors_origins: client.cors_origins.join(' '),
  }
}

/** The row of a new client; a public one has no `secretHash`. */
export function newClientRow(
  client: ClientMetadata,
  { secretHash, now }: { readonly secretHash: Buffer | null; readonly now: number },
): Omit<ClientTable, 'epoch'> {
  return {
    id: client.client_id,
    secret_hash: secretHash,
    old_secret_hash: null,
    old_secret_expires_at: null,
    ...clientSettings(client),
    created_at: now,
    disabled_at: null,
  }
}

/** What a client's row declares. */
export function clientMetadata(row: Omit<ClientTable, 'epoch'>): ClientMetadata {
  return {
    client_id: row.id,
    public: row.secret_hash === null,
    grant_types: listed(row.grant_types),
    scope: listed(row.scope),
    resources: listed(row.resources),
    resource_server: listed(row.introspects),
    admin: row.is_admin === 1,
    refresh: row.refresh_policy,
    refresh_idle_ttl: row.refresh_idle_seconds,
    refresh_absolute_ttl: row.refresh_absolute_seconds,
    forwards_user_address: row.forwards_user_address === 1,
    cors_origins: listed(row.cors_origins),
  }
}

/** Whether there can be such a client, with the resources that there are. */
export async function judgeNewClient(db: Database, client: ClientMetadata): Promise<ClientVerdict> {
  const scopes = new Map((await listResources(db)).map(({ uri, scope }) => [uri, listed(scope)]))
  return judgeClient(client, uri => scopes.get(uri))
}

/** A declared resource, as columns of its row. */
export function resourceSettings(resource: ResourceMetadata): ResourceSettings {
  return {
    scope: resource.scope.join(' '),
    alg: resource.alg,
    access_token_seconds: resource.access_token_ttl,
    has_status: resource.status ? 1 : 0,
  }
}

/** What a resource's row declares. */
export function resourceMetadata(row: ResourceTable): ResourceMetadata {
  return {
    uri: row.uri,
    scope: listed(row.scope),
    alg: row.alg,
    access_token_ttl: row.access_token_seconds,
    status: row.has_status === 1,
  }
}

/** The columns in which `after` differs, so that what others change meanwhile stays. */
export function changedColumns<Columns extends object>(before: Columns, after: Columns): Partial<Columns> {
  const changed: Partial<Columns> = {}
  for (const column of Object.keys(after) as (keyof Columns)[]) {
    if (after[column] !== before[column]) changed[column] = after[column]
  }
  return changed
}

/** The items of a stored list. */
export function listed(text: string): readonly string[] {
  return text === '' ? [] : text.split(' ')
}
