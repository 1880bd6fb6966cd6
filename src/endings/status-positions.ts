import type { Database } from '../../db/database.ts'
import { keepStatusList } from '../../db/installation/status-lists.ts'
import { leaseStatusPositions } from '../../db/installation/status-positions.ts'
import { positionsOf, statusListSize } from '../protocol/status-list.ts'

/**
 * Hands out a position in the status lists for a new session that ends, whatever happens, at `endsAt` (epoch
 * seconds).
 */
export type NextStatusPosition = (endsAt: number) => Promise<number>

/** How many numbers are leased at once, so that log-ins do not all write one row. */
const leaseSize = 256

/** A list's own end moves in such steps, so that it is written once a month and not with every log-in. */
const stepSeconds = 30 * 86_400

export function openStatusPositions(db: Database): NextStatusPosition {
  const nextNumber = leasedNumbers(db)
  const listsLiveUntil = new Map<number, number>()
  return async endsAt => {
    const { number, positionOf } = await nextNumber()
    const list = Math.floor(number / statusListSize)
    if ((listsLiveUntil.get(list) ?? 0) < endsAt) {
      const liveUntil = Math.ceil(endsAt / stepSeconds) * stepSeconds
      await keepStatusList(db, list, liveUntil)
      listsLiveUntil.set(list, liveUntil)
    }
    return positionOf(number)
  }
}

/**
 * How many numbers are left out after a failover: a standby may not have heard of so many that were leased.
 */
const leftOut = 4096

interface Lease {
  next: number
  readonly end: number
  readonly positionOf: (number: number) => number
  /** Of the PostgreSQL that has given it. */
  readonly timeline: number
}

function leasedNumbers(db: Database) {
  let lease: Promise<Lease> | undefined
  let timeline: number | undefined
  // The key stays the same.
  let positionOf: ((number: number) => number) | undefined
  /** On a new timeline the database may have forgotten leases, and would give the same numbers to others. */
  const take = async (): Promise<Lease> => {
    const seen = db.timeline()
    const skipped = timeline !== undefined && seen !== undefined && seen > timeline ? leftOut : 0
    const { first, permutationKey } = await leaseStatusPositions(db, skipped + leaseSize)
    timeline = seen ?? db.timeline()
    positionOf ??= positionsOf(permutationKey)
    const next = first + skipped
    return { next, end: next + leaseSize, positionOf, timeline: timeline ?? 0 }
  }
  const next = async (): Promise<Pick<Lease, 'positionOf'> & { readonly number: number }> => {
    const mine = (lease ??= take())
    try {
      const leased = await mine
      const isGood = leased.next < leased.end && (db.timeline() ?? 0) <= leased.timeline
      if (isGood) return { number: leased.next++, positionOf: leased.positionOf }
    } catch (error) {
      if (lease === mine) lease = undefined
      throw error
    }
    if (lease === mine) lease = undefined
    return next()
  }
  return next
}
