import fc from 'fast-check'
import t from 'tap'
import { knownTokens } from '../../src/keys/ring/known-tokens.ts'
import { runsOf } from '../helpers/runs.ts'

t.test('none is known that was not added, and the last one always is', t => {
  const token = fc.string({ maxLength: 3, unit: 'binary-ascii' })
  fc.assert(
    fc.property(fc.array(token), fc.array(token), (added, asked) => {
      const known = knownTokens()
      for (const jwt of added) known.add(jwt)
      const last = added.at(-1)
      if (last !== undefined && !known.has(last)) return false
      return asked.every(jwt => added.includes(jwt) || !known.has(jwt))
    }),
    { numRuns: runsOf(300) },
  )
  t.end()
})

t.test('the newest tokens are known, and older ones make room for them', t => {
  const known = knownTokens()
  const count = 450_000
  for (let i = 0; i < count; i++) known.add(`token ${i}`)
  const knownOf = (first: number, end: number) => {
    let found = 0
    for (let i = first; i < end; i++) if (known.has(`token ${i}`)) found++
    return found / (end - first)
  }
  t.ok(known.has(`token ${count - 1}`))
  t.ok(knownOf(count - 1000, count) > 0.95, 'a thousand more have hardly touched them')
  t.ok(knownOf(0, 10_000) < 0.05, 'what is long ago is forgotten')
  t.equal(knownOf(count, count + 100_000), 0)
  t.end()
})
