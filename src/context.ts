import type { FastifyBaseLogger } from 'fastify'
import type { Database } from '../db/database.ts'
import type { AuditTrail } from './audit-trail.ts'
import type { ClientKeys } from './clients/client-keys.ts'
import type { Config } from './config.ts'
import type { Counts } from './counts.ts'
import type { Drain } from './http/drain.ts'
import type { Pressure } from './http/pressure.ts'
import type { KeyRing } from './keys/key-ring.ts'
import type { RootKeys } from './keys/root-key.ts'
import type { Passwords } from './log-ins/passwords.ts'
import type { Throttle } from './log-ins/throttle.ts'
import type { Registry } from './registry.ts'
import type { StatusLists } from './revocation/status-lists.ts'
import type { NextStatusPosition } from './revocation/status-positions.ts'
import type { Lateness } from './sessions/lateness.ts'
import type { Standing } from './standing.ts'

/** Everything an endpoint may depend on. It is an argument; nothing is looked up from anywhere else. */
export interface Context {
  readonly config: Config
  readonly db: Database
  /** Signs and verifies; knows the JWKS. */
  readonly keys: KeyRing
  /** The secrets outside the database, and what is derived from them. */
  readonly rootKeys: RootKeys
  /** Clients and resources, at most a second old. */
  readonly registry: Registry
  /** The public keys of clients, as registered or fetched. */
  readonly clientKeys: ClientKeys
  /** Hashes and verifies passwords, in a bounded pool. */
  readonly passwords: Passwords
  /** Tells an outage from thieves. */
  readonly lateness: Lateness
  /** Each new session's place in the status lists. */
  readonly nextStatusPosition: NextStatusPosition
  /** Whether this server may go on, by what the database says. */
  readonly standing: Standing
  /** What was revoked, for resource servers that verify locally. */
  readonly statusLists: StatusLists
  /** Whether this server is about to end. */
  readonly drain: Drain
  /** Waits before a log-in of a flood is refused. */
  readonly brake: () => Promise<void>
  /** Whether more work may begin. */
  readonly pressure: Pressure
  /** How often an unauthenticated caller may try. */
  readonly throttle: Throttle
  /** Notes what changes nothing and still matters, such as wrong passwords. */
  readonly audit: AuditTrail
  /** What was done since the start, for the metrics. */
  readonly counts: Counts
  /** Whole seconds since the epoch; on PostgreSQL by the clock of its server, which all instances share. */
  readonly now: () => number
  readonly log: FastifyBaseLogger & { readonly flush?: () => void }
}
