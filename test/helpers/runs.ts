/** Whether `npm run test:quick` runs, which is for between two changes. */
export const isQuick = process.env['TEST_SHORT'] !== undefined
/** Whether `npm run test:long` runs, which leaves nothing out. */
export const isInFull = process.env['TEST_IN_FULL'] !== undefined

/**
 * How often a property is tried: as often as said, and in `npm run test:quick` an eighth of that.
 */
export function runsOf(all: number): number {
  return isQuick ? Math.ceil(all / 8) : all
}

/**
 * How often something is done that takes long, and shows the same the first hundred times: a quarter of what
 * `npm run test:long` does, and in `npm run test:quick` an eighth.
 */
export function shareOf(all: number): number {
  return isInFull ? all : Math.ceil(all / (isQuick ? 8 : 4))
}

/**
 * Whether the n-th of many things is looked at in this one of several ways, counted from 0: each thing in one
 * of them, by turns, and in `npm run test:long` in all.
 */
export function isTurn(n: number, way: number, ways: number): boolean {
  return isInFull || n % ways === way
}

/** The options of a test that takes seconds: `npm run test:quick` says that it leaves it out. */
export const notQuick = { skip: isQuick && 'npm test does it' }
