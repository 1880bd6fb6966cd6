import t from 'tap'
import { checkWorlds } from '../model/ring-world.ts'

t.test('invariant 6: through many schedules, clocks that are set, and crashes', async t => {
  checkWorlds(t, 1000)
})
