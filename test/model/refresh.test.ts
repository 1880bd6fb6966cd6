import t from 'tap'
import { runsOf } from '../helpers/runs.ts'
import { liveThrough } from './stories.ts'

t.test('invariants 1 to 5 and 11: whatever happens in whatever order, the rules hold', t =>
  liveThrough(t, {}, { runs: runsOf(50), stepsMax: 60 }),
)
