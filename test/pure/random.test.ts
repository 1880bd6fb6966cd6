import t from 'tap'
import { fewRandomBytes } from '../../src/values/random.ts'

t.test('few random bytes are as many as were asked for, and none are handed out twice', async t => {
  const seen = new Set<string>()
  let ones = 0
  for (let i = 0; i < 4000; i++) {
    const bytes = fewRandomBytes(1 + (i % 64))
    if (bytes.length !== 1 + (i % 64)) t.fail(`${i}: ${bytes.length} bytes`)
    if (bytes.length < 12) continue
    seen.add(bytes.toString('hex'))
    for (const byte of bytes) ones += byte & 1
  }
  const long = Array.from({ length: 4000 }, (_, i) => 1 + (i % 64)).filter(length => length >= 12)
  t.equal(seen.size, long.length)
  const bits = long.reduce((sum, length) => sum + length, 0)
  t.ok(Math.abs(ones - bits / 2) < 6 * Math.sqrt(bits / 4), 'as many ones as zeros, but for chance')
  const kept = fewRandomBytes(16)
  const before = Buffer.from(kept)
  for (let i = 0; i < 1000; i++) fewRandomBytes(16)
  t.strictSame(kept, before, 'and they stay as they are')
})
