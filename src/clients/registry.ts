import { listClientOrigins } from '../../db/clients/clients.ts'
import { findResource, listResources } from '../../db/clients/resources.ts'
import type { Database } from '../../db/database.ts'
import { readRevision } from '../../db/installation/installation.ts'
import type { ClientTable, ResourceTable } from '../../db/schema.ts'
import { openKnownClients } from './known-clients.ts'

export type Client = ClientTable
export type Resource = ResourceTable

/** Clients and resources in memory, so that a request does not read them. `follow` keeps them at most a second old. */
export interface Registry {
  findClient(id: string): Promise<Client | undefined>
  findResource(uri: string): Promise<Resource | undefined>
  listResources(): Promise<readonly Resource[]>
  /** All scopes that some resource knows, sorted. */
  listScopes(): Promise<readonly string[]>
  /** The origins of pages that clients have of their own. */
  listOrigins(): Promise<ReadonlySet<string>>
  /** Forgets everything if something has changed since the last call; whether it has. */
  follow(): Promise<boolean>
}

/** Of each kind. */
const entriesMax = 10_000

export function openRegistry(db: Database): Registry {
  let revision: number | undefined
  const clients = openKnownClients(db)
  const resources = lookup((uri: string) => findResource(db, uri))
  const lists = lookup(async (_: 'all') => listResources(db))
  const scopes = lookup(async (_: 'all') => scopesOf(await listResources(db)))
  const origins = lookup(async (_: 'all') => listClientOrigins(db))
  return {
    findClient: clients.find,
    findResource: resources.find,
    listResources: async () => (await lists.find('all')) ?? [],
    listScopes: async () => (await scopes.find('all')) ?? [],
    listOrigins: async () => (await origins.find('all')) ?? new Set(),
    follow: async () => {
      const current = await readRevision(db)
      if (current === revision) return false
      revision = current
      clients.forget()
      resources.forget()
      lists.forget()
      scopes.forget()
      origins.forget()
      return true
    },
  }
}

function scopesOf(resources: readonly Resource[]): readonly string[] {
  const scopes = resources.flatMap(resource => resource.scope.split(' ')).filter(scope => scope !== '')
  return [...new Set(scopes)].sort()
}

function lookup<Key extends string, Row>(read: (key: Key) => Promise<Row | undefined>) {
  let rows = new Map<Key, Row | undefined>()
  return {
    find: async (key: Key): Promise<Row | undefined> => {
      const found = rows.get(key)
      if (found !== undefined || rows.has(key)) return found
      const readInto = rows
      const row = await read(key)
      // What was read before a change, and arrives after it, lands in the map that was thrown away.
      if (readInto.size >= entriesMax) readInto.clear()
      readInto.set(key, row)
      return row
    },
    forget: () => {
      rows = new Map()
    },
  }
}
