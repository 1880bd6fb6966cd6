import t from 'tap'
import { startAllAtOnce } from '../helpers/first-starts.ts'

t.test('ten servers that start at once in an empty directory have one ring', async t => {
  await startAllAtOnce(t, 10)
})
