import { pino } from 'pino'
import t from 'tap'
import { startJobs } from '../../src/jobs/jobs.ts'
import type { Job } from '../../src/upkeep/job.ts'
import { until } from '../helpers/server.ts'

/** A log whose lines are kept, and a database that tells of a change when it is woken. */
function world() {
  const lines: string[] = []
  const log = pino({}, { write: line => void lines.push(JSON.parse(line).msg) })
  let wake = () => {}
  let isWatched = true
  const watch = (onChange: () => void) => {
    wake = onChange
    return { keep: async () => {}, close: async () => void (isWatched = false) }
  }
  return { lines, log, db: { watch }, wake: () => wake(), isWatched: () => isWatched }
}

const never = 1000

t.test(
  'what follows the database is done at once when it tells of a change, and nothing else is',
  async t => {
    const { log, db, wake, isWatched } = world()
    const done: string[] = []
    const job = (name: string, more: Partial<Job> = {}): Job => ({
      name,
      everySeconds: never,
      run: async () => done.push(name),
      ...more,
    })
    const stop = startJobs([job('follower', { follows: true }), job('other')], db, log)
    t.strictSame(done, [], 'not before its time')
    wake()
    await until(() => done.length > 0)
    wake()
    await until(() => done.length > 1)
    t.strictSame(done, ['follower', 'follower'])
    await stop()
    t.notOk(isWatched())
  },
)

t.test('what is hurried while it is under way is done once more, at once', async t => {
  const { log, db, wake } = world()
  let count = 0
  let goOn = () => {}
  const run = () => {
    count++
    return new Promise<void>(resolve => (goOn = resolve))
  }
  const job: Job = { name: 'follower', everySeconds: never, follows: true, run }
  const stop = startJobs([job], db, log)
  wake()
  await until(() => count === 1)
  wake()
  goOn()
  await until(() => count === 2)
  goOn()
  await stop()
  t.equal(count, 2)
})

t.test('a failure is said once, and so is that it works again', async t => {
  const { lines, log, db } = world()
  let count = 0
  const run = async () => {
    if (++count <= 3) throw new Error('away')
  }
  const stop = startJobs([{ name: 'trying', everySeconds: 0.001, run }], db, log)
  await until(() => count > 5)
  await stop()
  t.strictSame(lines, ['trying failed, and is tried again', 'trying works again'])
})

t.test('when they stop, what is under way comes to an end, and what is left is told', async t => {
  const { lines, log, db, wake } = world()
  const done: string[] = []
  const long: Job = {
    name: 'long',
    everySeconds: never,
    follows: true,
    run: signal =>
      new Promise<void>(resolve => {
        done.push('begun')
        signal.addEventListener('abort', () => {
          done.push('ended')
          resolve()
        })
      }),
    last: async () => void done.push('told'),
  }
  const broken: Job = {
    name: 'broken',
    everySeconds: never,
    run: async () => {},
    last: async () => {
      throw new Error('away')
    },
  }
  const stop = startJobs([broken, long], db, log)
  wake()
  await until(() => done.length > 0)
  await stop()
  t.strictSame(done, ['begun', 'ended', 'told'])
  t.strictSame(lines, ['the last notes of this server are lost'], 'and the others tell theirs')
})
