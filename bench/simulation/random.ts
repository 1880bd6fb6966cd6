export type Random = () => number

/** Numbers from 0 to 1 that are the same in every run (mulberry32). */
export function seedRandom(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** How many trials succeed before the first failure, each failing with `chance`. */
export function successesBefore(random: Random, chance: number): number {
  return Math.floor(Math.log(1 - random()) / Math.log(1 - chance))
}

/** Waiting times of events that happen at any moment, `mean` apart. */
export function exponential(random: Random, mean: number): number {
  return -mean * Math.log(1 - random())
}
