import type { Database } from '../../db/database.ts'
import { keepStatusList } from '../../db/status-lists.ts'
import { leaseStatusPositions } from '../../db/status-positions.ts'
import { permutedPosition, statusListSize } from '../protocol/status-list.ts'

/** Hands out a position in the status lists for a new session that ends, whatever happens, at `endsAt` (epoch seconds). */
export type NextStatusPosition = (endsAt: number) => Promise<number>

/** How many numbers are leased at once, so that log-ins do not all write one row. */
const leaseSize = 256

/** A list's own end moves in such steps, so that it is written once a month and not with every log-in. */
const stepSeconds = 30 * 86_400

export function openStatusPositions(db: Database): NextStatusPosition {
  const nextNumber = leasedNumbers(db)
  const listsLiveUntil = new Map<number, number>()
  return async endsAt => {
    const { number, permutationKey } = await nextNumber()
    const list = Math.floor(number / statusListSize)
    if ((listsLiveUntil.get(list) ?? 0) < endsAt) {
      const liveUntil = Math.ceil(endsAt / stepSeconds) * stepSeconds
      await keepStatusList(db, list, liveUntil)
      listsLiveUntil.set(list, liveUntil)
    }
    return permutedPosition(permutationKey, number)
  }
}

function leasedNumbers(db: Database) {
  let lease: Promise<{ next: number; end: number; permutationKey: Buffer }> | undefined
  const next = async (): Promise<{ number: number; permutationKey: Buffer }> => {
    const mine = (lease ??= leaseStatusPositions(db, leaseSize).then(({ first, permutationKey }) => ({
      next: first,
      end: first + leaseSize,
      permutationKey,
    })))
    try {
      const leased = await mine
      if (leased.next < leased.end) return { number: leased.next++, permutationKey: leased.permutationKey }
    } catch (error) {
      if (lease === mine) lease = undefined
      throw error
    }
    if (lease === mine) lease = undefined
    return next()
  }
  return next
}
