import { listClientOrigins } from '../../db/clients/clients.ts'
import { listOwnClaims } from '../../db/clients/own-claims.ts'
import { findResource, listResources } from '../../db/clients/resources.ts'
import { listTrustedIssuers } from '../../db/clients/trusted-issuers.ts'
import type { Database } from '../../db/database.ts'
import { readRevision } from '../../db/installation/installation.ts'
import type { ClientTable, GroupTable, ResourceTable } from '../../db/schema.ts'
import { listGroups } from '../../db/users/groups.ts'
import type { Clock } from '../clock.ts'
import type { Config } from '../config/load.ts'
import { detailTypesOf } from '../protocol/detail-types.ts'
import type { OwnClaim } from '../protocol/own-claims.ts'
import { followSeconds, type Job } from '../upkeep/job.ts'
import { itemsOf } from '../values/list.ts'
import { openKnownClients } from './known-clients.ts'
import { asItCounts, openReachOf } from './open-reach.ts'
import { trustedIssuerOf, type TrustedIssuer } from './trusted-issuer.ts'
import { ownClaimOf } from './wishes.ts'

export type Client = ClientTable
export type Resource = ResourceTable

/** Clients, resources and groups in memory, at most a second old, so that a request does not read them. */
export interface Registry {
  /** Looks now whether something has changed, which happens by itself twice a second. */
  follow(): Promise<void>
  findClient(id: string): Promise<Client | undefined>
  /** The resources of a list that there are, in its order. Their URIs are separated by spaces. */
  findResources(uris: string): Promise<readonly Resource[]>
  listResources(): Promise<readonly Resource[]>
  /** All scopes that some resource knows, sorted. */
  listScopes(): Promise<readonly string[]>
  /** All types of authorization details that some resource knows, sorted. */
  listDetailTypes(): Promise<readonly string[]>
  /** The origins of pages that clients have of their own. */
  listOrigins(): Promise<ReadonlySet<string>>
  /** All groups, by their names. */
  groups(): Promise<ReadonlyMap<string, GroupTable>>
  /** All claims of this installation's own, by their names. */
  ownClaims(): Promise<ReadonlyMap<string, OwnClaim>>
  /** All outside issuers that are trusted, by their URLs. */
  trustedIssuers(): Promise<ReadonlyMap<string, TrustedIssuer>>
}

/** Of each kind. */
const entriesMax = 10_000

/**
 * Opens the registry; its job forgets everything if something has changed. `hosts`: whose clients are taken
 * that are known by a document.
 */
export function openRegistry(
  db: Database,
  hosts: Config['clientDocumentHosts'] = [],
): { readonly registry: Registry; readonly jobs: readonly Job[] } {
  let revision: number | undefined
  const resources = lookup((uris: string) => readResources(db, uris))
  const lists = lookup(async (_: 'all') => listResources(db))
  const scopes = lookup(async (_: 'all') => scopesOf(await listResources(db)))
  const detailTypes = lookup(async (_: 'all') => detailTypeNames(await listResources(db)))
  const reaches = lookup(async (_: 'all') => openReachOf(await listResources(db)))
  const clients = openKnownClients(db, async row =>
    row.made_by === 'administrator' ? row : asItCounts(row, await reaches.find('all'), hosts),
  )
  const origins = lookup(async (_: 'all') => listClientOrigins(db))
  const groups = lookup(async (_: 'all') => new Map((await listGroups(db)).map(row => [row.name, row])))
  const ownClaims = lookup(
    async (_: 'all') => new Map((await listOwnClaims(db)).map(row => [row.name, ownClaimOf(row)])),
  )
  const issuers = lookup(
    async (_: 'all') =>
      new Map((await listTrustedIssuers(db)).map(row => [row.issuer, trustedIssuerOf(row)])),
  )
  const follow = async () => {
    const current = await readRevision(db)
    if (current === revision) return
    revision = current
    for (const kind of [clients, resources, lists, scopes, detailTypes, reaches]) kind.forget()
    for (const kind of [origins, groups, ownClaims, issuers]) kind.forget()
  }
  return {
    registry: {
      follow,
      findClient: clients.find,
      findResources: resources.find,
      listResources: () => lists.find('all'),
      listScopes: () => scopes.find('all'),
      listDetailTypes: () => detailTypes.find('all'),
      listOrigins: () => origins.find('all'),
      groups: () => groups.find('all'),
      ownClaims: () => ownClaims.find('all'),
      trustedIssuers: () => issuers.find('all'),
    },
    jobs: [
      {
        name: 'following the registry',
        everySeconds: followSeconds,
        follows: true,
        run: follow,
      },
    ],
  }
}

async function readResources(db: Database, uris: string): Promise<readonly Resource[]> {
  const resources: Resource[] = []
  for (const uri of itemsOf(uris)) {
    const resource = await findResource(db, uri)
    if (resource) resources.push(resource)
  }
  return resources
}

function scopesOf(resources: readonly Resource[]): readonly string[] {
  const scopes = resources.flatMap(resource => resource.scope.split(' ')).filter(scope => scope !== '')
  return [...new Set(scopes)].sort()
}

function detailTypeNames(resources: readonly Resource[]): readonly string[] {
  return [...new Set(resources.flatMap(resource => Object.keys(detailTypesOf(resource))))].sort()
}

function lookup<Key extends string, Found extends object>(read: (key: Key) => Promise<Found>) {
  /** As it is answered with: a promise for each request would cost more than to find it. */
  let known = new Map<Key, Promise<Found>>()
  const lookFor = async (own: Map<Key, Promise<Found>>, key: Key): Promise<Found> => {
    const found = await read(key)
    // Anything read before a change, and arriving after it, lands in the map that was thrown away.
    if (own.size >= entriesMax) own.clear()
    own.set(key, Promise.resolve(found))
    return found
  }
  return {
    find: (key: Key): Promise<Found> => known.get(key) ?? lookFor(known, key),
    forget: () => {
      known = new Map()
    },
  }
}

/**
 * Whether the client may act on the tokens of every client. A public one never may: anybody could claim to be
 * it.
 */
export function isAdmin(client: Client): boolean {
  return client.is_admin === 1 && client.auth_method !== 'none'
}

/** Waits until all instances know of a change, since its client goes on in a moment at any of them. */
export async function untilAllKnow({
  clients: { registry },
  clock,
}: {
  readonly clients: { readonly registry: Pick<Registry, 'follow'> }
  readonly clock: Pick<Clock, 'pause'>
}): Promise<void> {
  await registry.follow()
  await clock.pause(2 * followSeconds)
}
