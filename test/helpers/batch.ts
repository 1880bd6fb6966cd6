import './untracked-promises.ts'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'

const tests = join(import.meta.dirname, '..')
/** Their tests leave nothing behind in the process, so that many files can share one. */
const folders = ['model', 'pure', 'server']
const batches = 4

/**
 * Runs one of the batches, 1 to 4, in this process: a process of its own for each test file would load the
 * same modules again and compile them anew, which takes longer than most of the tests.
 */
export async function runBatch(number: number): Promise<void> {
  for (const file of batch(number)) {
    t.comment(file)
    await import(join(tests, file))
  }
}

/** Dealt out by their sizes, so that all take about as long, and each batch is the same each time. */
function batch(number: number): string[] {
  const files = folders.flatMap(folder =>
    readdirSync(join(tests, folder))
      .filter(name => name.endsWith('.test.ts'))
      .map(name => join(folder, name)),
  )
  const sizeOf = new Map(files.map(file => [file, statSync(join(tests, file)).size]))
  const bySize = files.toSorted((a, b) => (sizeOf.get(b) ?? 0) - (sizeOf.get(a) ?? 0))
  return bySize.filter((_, at) => [at, -1 - at].some(place => (place - number + 1) % (2 * batches) === 0))
}
