import t from 'tap'
import { announceThroughCrashes } from '../helpers/announced-crashes.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { startFleet } from '../helpers/fleet.ts'

await forEachEngine(t, 'invariant 25: 2,000 revocations are announced through kills', async (t, env) => {
  await announceThroughCrashes(t, await startFleet(t, env), { revocations: 2000, kills: 40 })
})
