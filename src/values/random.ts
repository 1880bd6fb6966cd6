import { randomFillSync } from 'node:crypto'

/** So many are asked for at once: asking the system takes ten times what copying a few bytes does. */
const poolBytes = 4096

let pool = Buffer.alloc(0)

/** Bytes that nothing but chance has chosen, as `randomBytes` of Node.js makes them; at most 64. */
export function fewRandomBytes(count: number): Buffer {
  if (pool.length < count) pool = randomFillSync(Buffer.allocUnsafeSlow(poolBytes))
  const bytes = Buffer.from(pool.subarray(0, count))
  // They stay nowhere else.
  pool.fill(0, 0, count)
  pool = pool.subarray(count)
  return bytes
}
