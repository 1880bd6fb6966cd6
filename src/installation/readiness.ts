import type { Database } from '../../db/database.ts'
import { readPulse } from '../../db/installation/pulse.ts'
import type { Clock } from '../clock.ts'
import { unavailable } from '../errors.ts'
import type { KeyRing } from '../keys/ring/key-ring.ts'
import type { RootKeys } from '../keys/root/root-key.ts'

/** Anybody may ask, as often as they like: the database is asked no more often than the jobs do. */
const pulseSeconds = 0.5

export interface ReadinessOptions {
  readonly clock: Clock
  readonly db: Database
  readonly keys: Pick<KeyRing, 'jwks'>
  readonly rootKeys: Pick<RootKeys, 'isBehind'>
}

/**
 * Makes the check whether this server can do its work, and go on doing it: the database answers and takes
 * writes, the key ring is known to be the latest, and the root key that the database is under is in the file.
 * Throws `temporarily_unavailable` (503) when it cannot.
 */
export function openReadiness({ clock, db, keys, rootKeys }: ReadinessOptions): () => Promise<void> {
  const pulse = sharedFor(pulseSeconds, clock, () => readPulse(db))
  return async () => {
    await pulse()
    const fault = db.writeFault.last()
    if (fault !== undefined) throw unavailable(fault)
    if (!keys.jwks().isConfirmed) throw unavailable('the key ring has not been confirmed lately')
    if (rootKeys.isBehind()) throw unavailable('the root key file lacks the key that the database is under')
  }
}

/** Calls within so many seconds after another share its answer, also when that is an error. */
export function sharedFor<T>(seconds: number, clock: Clock, ask: () => Promise<T>): () => Promise<T> {
  let askedAt = -Infinity
  let answer: Promise<T> | undefined
  return () => {
    if (!answer || clock.steady() - askedAt >= seconds) {
      askedAt = clock.steady()
      answer = ask()
    }
    return answer
  }
}
