import { findClient } from '../../db/clients/clients.ts'
import type { Database } from '../../db/database.ts'
import { reachInto } from '../clients/reach.ts'
import type { Registry } from '../clients/registry.ts'
import type { Clock } from '../clock.ts'
import type { Config } from '../config/load.ts'
import type { KeyRing } from '../keys/ring/key-ring.ts'
import type { RootKeys } from '../keys/root/root-key.ts'
import type { Log } from '../record/log.ts'
import { followSeconds, type Job } from '../upkeep/job.ts'
import type { Metric } from '../upkeep/metric.ts'
import { openCursors } from './cursors.ts'
import { openListeners, type Listeners } from './listeners.ts'
import { logoutTokens } from './logout-tokens.ts'
import type { DeliveryKind } from './outgoing/kind.ts'
import { openOutgoing } from './outgoing/outgoing.ts'

/** How long a receiver may take to answer a delivery. */
const deliverySeconds = 5

export interface PushOptions {
  readonly config: Config
  readonly db: Database
  readonly rootKeys: RootKeys
  readonly keys: KeyRing
  readonly registry: Registry
  readonly clock: Clock
  readonly log: Log
  /** The kinds of deliveries beside logout tokens. */
  readonly kinds: readonly DeliveryKind[]
}

/** Opens the ways by which others are told at once: those who listen here, and those who are sent it. */
export function openPush(options: PushOptions): {
  readonly listeners: Listeners
  readonly jobs: readonly Job[]
  readonly metrics: readonly Metric[]
} {
  const { config, db, rootKeys, keys, registry, clock, log } = options
  const { issuer, deliveryNetworks } = config
  const cursors = openCursors({ rootKeys, keys }, issuer)
  const listening = openListeners({ db, clock, registry, cursors, ...listenerDelays(config) })
  // From the database: in memory a client may still be one that is told nothing.
  const logouts = logoutTokens({ issuer, keys, clock, findClient: id => findClient(db, id) })
  const kinds = [logouts, ...options.kinds]
  const reach = reachInto('DELIVERY_NETWORKS', deliveryNetworks, deliverySeconds)
  const outgoing = openOutgoing({ db, clock, log, reach, kinds })
  return {
    listeners: listening.listeners,
    jobs: [...listening.jobs, ...outgoing.jobs],
    metrics: [...listening.metrics, ...outgoing.metrics],
  }
}

/** PostgreSQL tells of events, unless a pooler is in between; nothing else does. */
function listenerDelays({ databaseUrl, databasePooler, statusListDelaySeconds }: Config) {
  const untold = databasePooler === 'transaction' ? 0.05 : followSeconds
  return { statusListDelaySeconds, everySeconds: databaseUrl.engine === 'sqlite' ? 0.02 : untold }
}
