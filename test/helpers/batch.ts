import './untracked-promises.ts'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'

const tests = join(import.meta.dirname, '..')
/** Their tests leave nothing behind in the process, so that many files can share one. */
const folders = ['model', 'pure', 'server']
const batches = 3

/**
 * Runs one of the batches, 1 to 3, in this process: a process of its own for each test file would load the
 * same modules again and compile them anew, which takes longer than most of the tests.
 */
export async function runBatch(number: number): Promise<void> {
  for (const file of batch(number)) {
    t.comment(file)
    await import(join(tests, file))
  }
}

/** The seconds that one core needs for some files beyond what their sizes tell. */
const extraSeconds: Readonly<Record<string, number>> = {
  'model/refresh.test.ts': 1.6,
  'pure/known-tokens.test.ts': 0.7,
  'server/admin-open-api.test.ts': 2,
  'server/commands-records.test.ts': 1.5,
  'server/overload.test.ts': 1.1,
  'server/resource-server.test.ts': 1.2,
  'server/status-list.test.ts': 1.6,
  'server/sweeper.test.ts': 1.8,
  'server/verifiers.test.ts': 3,
}
const bytesPerSecond = 20_000

/** Dealt out, the longest first, each to who has the least, so that all take about as long. */
function batch(number: number): readonly string[] {
  const files = folders.flatMap(folder =>
    readdirSync(join(tests, folder))
      .filter(name => name.endsWith('.test.ts'))
      .map(name => join(folder, name)),
  )
  const secondsOf = (file: string) =>
    statSync(join(tests, file)).size / bytesPerSecond + (extraSeconds[file] ?? 0)
  const hands = Array.from({ length: batches }, () => ({ seconds: 0, files: [] as string[] }))
  for (const file of files.toSorted((a, b) => secondsOf(b) - secondsOf(a))) {
    const hand = hands.reduce((least, other) => (other.seconds < least.seconds ? other : least))
    hand.seconds += secondsOf(file)
    hand.files.push(file)
  }
  return hands[number - 1]?.files ?? []
}
