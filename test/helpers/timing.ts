import type { Test } from 'tap'

/**
 * By how many standard deviations the ranks of some durations are above or below what chance gives, where
 * the others are of the same kind (Mann and Whitney). A stall of the machine moves one rank, not all.
 */
function deviation(some: readonly number[], others: readonly number[]): number {
  const all = [...some.map(ms => ({ ms, isOne: true })), ...others.map(ms => ({ ms, isOne: false }))]
  all.sort((a, b) => a.ms - b.ms)
  const sum = all.reduce((total, { isOne }, index) => (isOne ? total + index + 1 : total), 0)
  const [m, n] = [some.length, others.length]
  const u = sum - (m * (m + 1)) / 2
  return (u - (m * n) / 2) / Math.sqrt((m * n * (m + n + 1)) / 12)
}

/** By chance it is more once in fifteen thousand times. */
const deviationMax = 4

export interface Timing {
  /** How often each is measured. */
  readonly count: number
  /** Does it once, for the n-th time with one of these, and tells the milliseconds that count. */
  readonly measure: (name: string, n: number) => Promise<number>
}

/** Asserts that something takes the same time with the first of some names as with each other. */
export async function takesSameTime(
  t: Test,
  [first, ...others]: readonly [string, ...string[]],
  { count, measure }: Timing,
): Promise<void> {
  const names = [first, ...others]
  const durations = new Map(names.map(name => [name, [] as number[]]))
  // Until all that runs was compiled.
  for (let n = 0; n < Math.min(50, count); n++) for (const name of names) await measure(name, count + n)
  // By turns, and each in each place as often as the others, and before and after each other one.
  for (let n = 0; n < count; n++) {
    const turn = names.map((_, i) => names[(i + (n >> 1)) % names.length] ?? first)
    for (const name of n % 2 === 0 ? turn : turn.toReversed())
      durations.get(name)?.push(await measure(name, n))
  }
  for (const other of others) {
    const z = deviation(durations.get(first) ?? [], durations.get(other) ?? [])
    t.ok(Math.abs(z) < deviationMax, `${first} and ${other}: ${z.toFixed(1)} standard deviations`)
  }
}
