import t from 'tap'
import { liveThrough } from './stories.ts'

t.test('invariants 1 to 5 and 11: whatever happens in whatever order, the rules hold', t =>
  liveThrough(t, {}, { runs: 50, stepsMax: 60 }),
)
