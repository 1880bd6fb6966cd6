import { forEachEngine } from '../helpers/engines.ts'
import t from 'tap'
import { surviveCrashes } from '../helpers/crashes.ts'
import { startFleet } from '../helpers/fleet.ts'
import { raceForSuccessors, raceRevocations } from '../helpers/races.ts'

await forEachEngine(
  t,
  'invariants 1, 2, 4 and 5: processes are killed and race, and nothing that was answered is lost',
  async (t, env) => {
    const fleet = await startFleet(t, env)
    const kills = env['MINTMARK_DATABASE_URL'] === undefined ? 210 : 40
    const instances = await surviveCrashes(t, fleet, { kills, lanes: 3, clients: 20 })
    await raceForSuccessors(t, { fleet, instances }, { parallel: 500, rounds: 20 })
    await raceRevocations(t, { fleet, instances }, 100)
  },
)
