/**
 * How often a property is tried: as often as said, and in `npm run test:quick`, which is for between two
 * changes, a quarter of that.
 */
export function runsOf(all: number): number {
  return process.env['TEST_SHORT'] === undefined ? all : Math.ceil(all / 4)
}
