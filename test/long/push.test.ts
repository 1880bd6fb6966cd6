import t from 'tap'
import { announceThrough, killing } from '../helpers/announced.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { startFleet } from '../helpers/fleet.ts'

await forEachEngine(t, 'invariant 25: 2,000 revocations are announced through kills', async (t, env) => {
  await announceThrough(t, await startFleet(t, env), { revocations: 2000, trouble: killing(40) })
})
