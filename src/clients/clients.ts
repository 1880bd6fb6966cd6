import type { Database } from '../../db/database.ts'
import type { Clock } from '../clock.ts'
import type { Config } from '../config/load.ts'
import type { Log } from '../record/log.ts'
import type { Job } from '../upkeep/job.ts'
import type { Metric } from '../upkeep/metric.ts'
import type { ClientAuthContext } from './auth-context.ts'
import { openClientDocuments } from './client-documents.ts'
import { openClientKeys } from './client-keys.ts'
import { reachInto } from './reach.ts'
import { openRegistry } from './registry.ts'

/** How long a client's key set, or its document, may take to arrive. */
const fetchSeconds = 3

export interface ClientsOptions {
  readonly config: Pick<Config, 'jwksUriNetworks' | 'clientDocumentHosts'>
  readonly db: Database
  readonly clock: Clock
  readonly log: Log
}

/** Opens all that is known of clients: their rows, the keys that they publish, and the documents. */
export function openClients({ config, db, clock, log }: ClientsOptions): {
  readonly clients: ClientAuthContext['clients']
  readonly jobs: readonly Job[]
  readonly metrics: readonly Metric[]
} {
  const { jwksUriNetworks, clientDocumentHosts: hosts } = config
  const reach = reachInto('JWKS_URI_NETWORKS', jwksUriNetworks, fetchSeconds)
  const { registry, jobs } = openRegistry(db, hosts)
  // Where strangers choose the hosts, a private network is none of theirs.
  const ofDocuments = hosts === 'any' ? reachInto('JWKS_URI_NETWORKS', [], fetchSeconds) : reach
  const { documents, metrics } = openClientDocuments({ hosts, reach: ofDocuments, clock, log })
  const keys = openClientKeys({ reach, ofDocuments }, clock, log)
  return { clients: { registry, keys, documents }, jobs, metrics }
}
