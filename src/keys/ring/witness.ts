import type { Database } from '../../../db/database.ts'
import { findWitnessed, witnessSigningKey } from '../../../db/keys/signing-keys.ts'
import type { SigningKeyTable } from '../../../db/schema.ts'
import type { Clock } from '../../clock.ts'
import { phaseOf, waitOf } from './key-life.ts'

/**
 * Counts how long the keys that wait have been seen in their phase, by a steady clock. Several
 * servers count into one row, each from what it saw there last, so together they never count more than the
 * time that has passed; none counts while no server runs, which only makes a key wait longer.
 */
export interface Witness {
  /** The rows, with what has been counted by now. */
  count(rows: readonly SigningKeyTable[], leadSeconds: number): Promise<readonly SigningKeyTable[]>
}

interface Sighting {
  readonly phase: string
  readonly counted: number
  /** By the steady clock. */
  readonly seenAt: number
}

/** How often a count is written, at most; for short waits a tenth of them. */
const intervalSeconds = 10

export function openWitness(db: Database, clock: Clock): Witness {
  let sightings = new Map<string, Sighting>()

  const countOne = async (row: SigningKeyTable, needed: number): Promise<Sighting> => {
    const phase = `${phaseOf(row)} ${row.retired_at}`
    const before = sightings.get(row.kid)
    if (before?.phase !== phase) return { phase, counted: row.witnessed_seconds, seenAt: clock.steady() }
    if (before.counted >= needed) return before
    const passed = Math.floor(clock.steady() - before.seenAt)
    const counted = before.counted + passed
    const isWorthWriting =
      passed >= Math.min(intervalSeconds, Math.max(1, needed / 10)) || (passed > 0 && counted >= needed)
    if (!isWorthWriting) return before
    if (await witnessSigningKey(db, row, { from: before.counted, to: counted })) {
      return { phase, counted, seenAt: before.seenAt + passed }
    }
    // Another server has counted, or the key has moved on, which the ring will show.
    return { phase, counted: (await findWitnessed(db, row.kid)) ?? before.counted, seenAt: clock.steady() }
  }

  return {
    count: async (rows, leadSeconds) => {
      const counted = new Map<string, Sighting>()
      const withCounts: SigningKeyTable[] = []
      for (const row of rows) {
        const needed = waitOf(row, { leadSeconds })
        const sighting = needed === undefined ? undefined : await countOne(row, needed)
        if (sighting) counted.set(row.kid, sighting)
        withCounts.push(sighting ? { ...row, witnessed_seconds: sighting.counted } : row)
      }
      sightings = counted
      return withCounts
    },
  }
}
