import { parseArgs } from 'node:util'
import { refreshing } from './callers.ts'
import { load } from './load.ts'
import { startMintmark, type Mintmark } from './mintmark.ts'
import { startMintmarkOnPostgres } from './postgres.ts'
import { machine } from './processes.ts'

/*
 * npm run bench:workers [-- --workers N] [--seconds N] [--rounds N]
 *
 * Compares a server of one process with one of several (2 by default), on both engines: refreshes a second,
 * CPU and memory of all their processes together, and the time to the first answer. Both take turns. Neither
 * they nor this process, which makes the load, are kept on one core; so does PostgreSQL share them. So it
 * says what the load takes for each request: on a machine with few cores no server can have them all.
 */
const { values } = parseArgs({
  options: {
    workers: { type: 'string', default: '2' },
    seconds: { type: 'string', default: '4' },
    rounds: { type: 'string', default: '5' },
  },
})
const seconds = Number(values.seconds)
const connections = 64

for (const [engine, start] of [
  ['SQLite', startMintmark],
  ['PostgreSQL', startMintmarkOnPostgres],
] as const) {
  const servers = new Map<string, Mintmark>()
  for (const workers of ['1', values.workers]) {
    const env = { MINTMARK_WORKERS: workers }
    servers.set(workers, await start({ sessions: connections, cpu: undefined, env }))
  }
  const figures = new Map([...servers.keys()].map(workers => [workers, [] as Figure[]]))
  const callers = new Map(
    [...servers].map(([workers, { refreshTokens }]) => [workers, refreshTokens.map(refreshing)]),
  )
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const [workers, server] of servers) {
      const before = server.cpuMicroseconds() ?? NaN
      const measured = await load(server.url, callers.get(workers) ?? [], seconds)
      const { requests, seconds: took, p99, ownCpuMicroseconds } = measured
      figures.get(workers)?.push({
        perSecond: requests / took,
        p99,
        loadMicroseconds: ownCpuMicroseconds,
        cpuMicroseconds: ((server.cpuMicroseconds() ?? NaN) - before) / requests,
        mebibytes: (server.residentBytes() ?? NaN) / 1024 / 1024,
      })
      process.stderr.write('.')
    }
  }
  process.stdout.write(`\n${engine}\n`)
  const [one, several] = [...figures].map(([workers, all]) => {
    const figure = medians(all)
    const ms = servers.get(workers)?.firstAnswerMs ?? NaN
    process.stdout.write(
      `  ${workers} worker${workers === '1' ? ' ' : 's'}  ${figure.perSecond.toFixed(0)} refreshes/s, p99 ${figure.p99.toFixed(1)} ms, ` +
        `${figure.cpuMicroseconds.toFixed(1)} µs CPU each (the load ${figure.loadMicroseconds.toFixed(1)}), ${figure.mebibytes.toFixed(0)} MiB, first answer after ${ms.toFixed(0)} ms\n`,
    )
    return figure
  })
  if (one && several)
    process.stdout.write(
      `  ${(several.perSecond / one.perSecond).toFixed(2)} times the rate, ${(several.cpuMicroseconds / one.cpuMicroseconds).toFixed(2)} times the CPU of each\n`,
    )
  for (const server of servers.values()) await server.stop()
}
process.stdout.write(`${JSON.stringify(machine())}\n`)

interface Figure {
  readonly perSecond: number
  /** Milliseconds. */
  readonly p99: number
  readonly cpuMicroseconds: number
  readonly loadMicroseconds: number
  readonly mebibytes: number
}

function medians(figures: readonly Figure[]): Figure {
  const median = (of: (figure: Figure) => number) => {
    const sorted = figures.map(of).sort((a, b) => a - b)
    return sorted[Math.floor(sorted.length / 2)] ?? NaN
  }
  return {
    perSecond: median(({ perSecond }) => perSecond),
    p99: median(({ p99 }) => p99),
    cpuMicroseconds: median(({ cpuMicroseconds }) => cpuMicroseconds),
    loadMicroseconds: median(({ loadMicroseconds }) => loadMicroseconds),
    mebibytes: median(({ mebibytes }) => mebibytes),
  }
}
