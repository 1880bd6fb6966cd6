import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'

const quickTicks = join(import.meta.dirname, '../../src/quick-ticks.ts')

/** What `process.nextTick` takes in nanoseconds, at best, once a few calls and a collection are past. */
function ticksOf(begin: string): number {
  const program = `${begin}
    const turn = () => new Promise(setImmediate)
    const ticks = count => { while (count-- > 0) process.nextTick(() => {}) }
    ticks(100)
    await turn()
    gc()
    let best = Infinity
    for (let i = 0; i < 30; i++) {
      const startedAt = process.hrtime.bigint()
      ticks(1000)
      best = Math.min(best, Number(process.hrtime.bigint() - startedAt) / 1000)
      await turn()
    }
    console.log(best)`
  const args = ['--expose-gc', '--input-type=module', '--eval', program]
  return Number(execFileSync(process.execPath, args, { encoding: 'utf8' }))
}

t.test('a collection leaves process.nextTick as quick as it was', async t => {
  const [kept, forgotten] = [
    ticksOf(`import { keepTicksQuick } from ${JSON.stringify(quickTicks)}; keepTicksQuick()`),
    ticksOf(''),
  ]
  t.ok(
    kept < forgotten / 2,
    `${kept} of ${forgotten} ns: where these are alike, Node.js needs no help any more`,
  )
})
