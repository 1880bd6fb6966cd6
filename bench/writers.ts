import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { machine } from './processes.ts'
import type { WriterFigures, WriterOrder } from './servers/writer.ts'

/*
 * npm run bench:writers [-- --workers N] [--seconds N] [--rounds N]
 *
 * How several processes should write one SQLite file: each by itself, waiting for the others' lock in one way
 * or another, or all by one more process that does nothing else. Each process does the work of refreshes
 * without HTTP, for 32 callers: as much CPU as the rest of one takes, and one row in a shared commit. They
 * take turns.
 */
const { values } = parseArgs({
  options: {
    workers: { type: 'string', default: '2' },
    seconds: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '5' },
  },
})
const workers = Number(values.workers)
const program = join(import.meta.dirname, 'servers/writer.ts')

const ways: Readonly<Record<string, Pick<WriterOrder, 'busyTimeout' | 'retry' | 'isThroughOne'>>> = {
  'waits 5 ms in SQLite, then 1 to 11 ms': { busyTimeout: 5, retry: [1, 11], isThroughOne: false },
  'never waits in SQLite, but 1 to 11 ms': { busyTimeout: 0, retry: [1, 11], isThroughOne: false },
  'never waits in SQLite, but 1 to 3 ms': { busyTimeout: 0, retry: [1, 3], isThroughOne: false },
  'never waits in SQLite, but 1 ms': { busyTimeout: 0, retry: [1, 1], isThroughOne: false },
  'never waits in SQLite, but one turn': { busyTimeout: 0, retry: 'turn', isThroughOne: false },
  'one process writes for all': { busyTimeout: 0, retry: [1, 1], isThroughOne: true },
}

const figures = new Map<string, Summary[]>(Object.keys(ways).map(name => [name, []]))
for (let round = 0; round < Number(values.rounds); round++) {
  for (const [name, way] of Object.entries(ways)) figures.get(name)?.push(await measure(way))
  process.stderr.write('.')
}
process.stdout.write(`\n${JSON.stringify(machine())}, ${workers} workers\n`)
const titles = ['rows/s', 'CPU µs', 'switches', 'blocked ms', 'longest', 'loop max', 'p99 ms', 'unfair']
process.stdout.write(`${''.padEnd(40)}${titles.map(title => title.padStart(11)).join('')}\n`)
for (const [name, all] of figures) {
  const cells = titles.map((_, i) =>
    median(all.map(summary => summary[i] ?? NaN))
      .toFixed(2)
      .padStart(11),
  )
  process.stdout.write(`${name.padEnd(40)}${cells.join('')}\n`)
}

/** In the order of the titles. */
type Summary = readonly number[]

async function measure(way: Pick<WriterOrder, 'busyTimeout' | 'retry' | 'isThroughOne'>): Promise<Summary> {
  const folder = mkdtempSync(join(tmpdir(), 'mintmark-writers-'))
  const order = { ...way, file: join(folder, 'db.sqlite'), socket: join(folder, 'socket'), callers: 32 }
  const children: ChildProcess[] = []
  const start = async (role: WriterOrder['role'], number: number) => {
    const child = fork(program, [JSON.stringify({ ...order, role, number } satisfies WriterOrder)])
    children.push(child)
    await once(child, 'message')
    return child
  }
  const writer = way.isThroughOne ? await start('writer', 0) : undefined
  if (!writer) await start('maker', 0)
  const all: ChildProcess[] = []
  for (let i = 0; i < workers; i++) all.push(await start('worker', i))
  const told = [...all, ...(writer ? [writer] : [])]
  for (const child of told) child.send('start')
  await sleep(Number(values.seconds) * 1000)
  const answers = await Promise.all(
    told.map(async child => {
      const answer = once(child, 'message')
      child.send('stop')
      return (await answer)[0] as WriterFigures
    }),
  )
  for (const child of children) child.kill('SIGKILL')
  await Promise.all(children.filter(isAlive).map(child => once(child, 'exit')))
  rmSync(folder, { recursive: true })
  const sum = (of: (figure: WriterFigures) => number) =>
    answers.reduce((total, answer) => total + of(answer), 0)
  const max = (of: (figure: WriterFigures) => number) => Math.max(...answers.map(of))
  const rows = sum(({ rows }) => rows)
  const counts = answers.slice(0, workers).map(({ rows }) => rows)
  return [
    rows / max(({ seconds }) => seconds),
    sum(({ cpuMicroseconds }) => cpuMicroseconds) / rows,
    sum(({ switches }) => switches) / rows,
    sum(({ blockedMs }) => blockedMs) / Number(values.seconds),
    max(({ longestBlockedMs }) => longestBlockedMs),
    max(({ loopMaxMs }) => loopMaxMs),
    max(({ p99Ms }) => p99Ms),
    Math.max(...counts) / Math.min(...counts),
  ]
}

function isAlive({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode === null && signalCode === null
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? NaN
}
