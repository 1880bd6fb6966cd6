import type { Database } from '../../db/database.ts'
import type { Clock } from '../clock.ts'
import type { Config } from '../config/load.ts'
import type { KeyRing } from '../keys/ring/key-ring.ts'
import type { AuditTrail } from '../record/audit-trail.ts'
import type { Counts } from '../record/counts.ts'
import type { ClientDocuments } from './client-documents.ts'
import type { ClientKeys } from './client-keys.ts'
import type { Registry } from './registry.ts'

/** The context, as far as it takes part in authenticating a client. */
export interface ClientAuthContext {
  readonly config: Pick<Config, 'issuer' | 'clientCert'>
  readonly db: Database
  readonly keys: Pick<KeyRing, 'clockSkewSeconds'>
  readonly users: { readonly throttle: { countWrongCredentials(clientId: string): number } }
  readonly clients: {
    /** Clients and resources, at most a second old. */
    readonly registry: Registry
    /** The public keys of clients, as registered or fetched. */
    readonly keys: ClientKeys
    /** The documents of clients that are known by one. */
    readonly documents: ClientDocuments
  }
  readonly audit: AuditTrail
  readonly counts: Pick<Counts, 'assertions'>
  readonly clock: Clock
}
