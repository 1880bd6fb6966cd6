import { randomBytes } from 'node:crypto'
import type { Clock } from '../clock.ts'
import { gauge, type Metric } from '../upkeep/metric.ts'

/** Tells an outage, in which clients everywhere retry late, from thieves and from deliberate retries. */
export interface Lateness {
  /**
   * Counts one refresh that was answered. `source` is what the user came from, if users can be told apart by
   * it.
   */
  countRefresh(userId: Buffer, source: string | undefined): void
  /** Counts one generation that was retried late. */
  countLate(userId: Buffer, source: string | undefined): void
  /**
   * Of all users who refreshed in the last 10 minutes more than 2 % were late, and so were as many of all
   * sources: each counts once, however many sessions he has and however often he comes. Where being late is
   * usual, it takes more.
   */
  isOutage(): boolean
}

const minutes = 10

/**
 * Which share of all is an outage. Where clients lose many answers every day, it is what exceeds that by far:
 * or the rule would always be off there. A share above the most is never usual: it is an outage however long
 * it lasts.
 */
const outageShare = { least: 0.02, timesUsual: 4, most: 0.2 }

/** Over how long it shows what is usual. */
const usualMinutes = 24 * 60

/**
 * Where few refresh at all, one thief makes a large share of them late. An outage reaches more than a few:
 * ten, or half of those there are. With fewer than three users the two cannot be told apart.
 */
const outageCount = { many: 10, few: 3 }

/** Opens the counts of who was late. */
export function openLateness(clock: Clock): {
  readonly lateness: Lateness
  readonly metrics: readonly Metric[]
} {
  const users = openLateAmongAll(outageCount.few)
  const sources = openLateAmongAll(0)
  let minute = -Infinity
  const turn = () => {
    const current = minuteOf(clock)
    if (current === minute) return
    for (const those of [users, sources]) those.turn(current, current - minute)
    minute = current
  }
  const count = (userId: Buffer, source: string | undefined, isLate: boolean) => {
    turn()
    users.count(userId.toString('latin1'), minute, isLate)
    if (source !== undefined) sources.count(source, minute, isLate)
  }
  const lateness: Lateness = {
    countRefresh: (userId, source) => count(userId, source, false),
    countLate: (userId, source) => count(userId, source, true),
    isOutage: () => {
      turn()
      // Where all users come from one address, as those of a website may, there are users alone.
      return users.isOutage() && (sources.isEmpty() || sources.isOutage())
    },
  }
  return {
    lateness,
    metrics: [
      gauge(
        'mintmark_refresh_outage',
        'Whether so many refreshes were late lately that nobody is taken for a thief',
        () => (lateness.isOutage() ? 1 : 0),
        'max',
      ),
    ],
  }
}

function minuteOf(clock: Clock): number {
  return Math.floor(clock.steady() / 60)
}

/** How many names are kept. The share of so many is as good as that of all. */
const keptMax = 4096

/** How many of all names that are seen are late, each counted once. */
function openLateAmongAll(few: number) {
  const seen = openSample()
  const late = openSample()
  let usual = 0
  const share = () => (seen.size() === 0 ? 0 : late.size() / seen.size())
  return {
    count: (name: string, minute: number, isLate: boolean) => {
      const hash = hashOf(name)
      seen.add(hash, minute)
      if (isLate) late.add(hash, minute)
      // Both keep the same part of all names.
      if (seen.size() > keptMax) for (const sample of [seen, late]) sample.halve()
    },
    /** Another minute has begun, and so many after the last one. */
    turn: (minute: number, elapsed: number) => {
      for (const sample of [seen, late]) sample.forget(minute - minutes)
      if (seen.size() < keptMax / 4) for (const sample of [seen, late]) sample.double()
      usual += (share() - usual) * (1 - Math.exp(-elapsed / usualMinutes))
    },
    isEmpty: () => seen.size() === 0,
    isOutage: () => {
      const { least, timesUsual, most } = outageShare
      const wanted = Math.max(few, Math.min(outageCount.many, seen.estimate() / 2))
      const wantedShare = Math.min(most, Math.max(least, timesUsual * usual))
      return late.estimate() >= wanted && share() > wantedShare
    },
  }
}

/**
 * Of the hashes seen lately all or, where they are too many, the half, a quarter and so on that end with as
 * many zeros. Chance alone decides which users are in it. Those seen last are at the end.
 */
function openSample() {
  const seenAt = new Map<number, number>()
  let zeros = 0
  const isIn = (hash: number) => (hash & ((1 << zeros) - 1)) === 0
  return {
    size: () => seenAt.size,
    /** How many there are in all. */
    estimate: () => seenAt.size * 2 ** zeros,
    add: (hash: number, minute: number) => {
      if (!isIn(hash) || seenAt.get(hash) === minute) return
      seenAt.delete(hash)
      seenAt.set(hash, minute)
    },
    forget: (until: number) => {
      for (const [hash, minute] of seenAt) {
        if (minute > until) return
        seenAt.delete(hash)
      }
    },
    halve: () => {
      zeros++
      for (const hash of seenAt.keys()) if (!isIn(hash)) seenAt.delete(hash)
    },
    /** Those left out before are in it when they come again. */
    double: () => {
      zeros = Math.max(0, zeros - 1)
    },
  }
}

/** Drawn at each start, so that the names in a sample cannot be known. */
const seed = randomBytes(4).readInt32LE()

/** FNV-1a, and the last step of MurmurHash3, which spreads it over all bits. */
function hashOf(name: string): number {
  let hash = seed
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x0100_0193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35)
  return hash ^ (hash >>> 16)
}
