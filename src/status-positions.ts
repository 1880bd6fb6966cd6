import type { Database } from '../db/database.ts'
import { leaseStatusPositions } from '../db/status-positions.ts'

/** Hands out a position in the status lists for each new session. */
export type NextStatusPosition = () => Promise<number>

/** How many positions are leased at once, so that log-ins do not all write one row. */
const leaseSize = 256

export function openStatusPositions(db: Database): NextStatusPosition {
  let lease: Promise<{ next: number; end: number }> | undefined
  const next: NextStatusPosition = async () => {
    const mine = (lease ??= leaseStatusPositions(db, leaseSize).then(first => ({
      next: first,
      end: first + leaseSize,
    })))
    try {
      const positions = await mine
      if (positions.next < positions.end) return positions.next++
    } catch (error) {
      if (lease === mine) lease = undefined
      throw error
    }
    if (lease === mine) lease = undefined
    return next()
  }
  return next
}
