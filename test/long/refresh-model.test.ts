import t from 'tap'
import { forEachEngine } from '../helpers/engines.ts'
import { liveThrough } from '../model/stories.ts'

await forEachEngine(
  t,
  'invariants 1 to 5 and 11: whatever happens in whatever order, the rules hold',
  (t, env) =>
    liveThrough(t, env, { runs: env['MINTMARK_DATABASE_URL'] === undefined ? 3000 : 500, stepsMax: 120 }),
)
