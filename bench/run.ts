import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { load } from './load.ts'
import { pinSelf } from './processes.ts'
import { scenarios, startServers, type Servers } from './scenarios.ts'

/*
 * npm run bench [-- SCENARIO …] [--seconds N] [--rounds N]
 *
 * Runs each scenario against all servers in turn, several rounds, and prints medians and ratios of medians. All servers
 * are on one core and this process is on another, where the system can pin them.
 */
const { values, positionals } = parseArgs({
  options: {
    seconds: { type: 'string', default: '4' },
    rounds: { type: 'string', default: '3' },
    out: { type: 'string' },
  },
  allowPositionals: true,
})
const seconds = Number(values.seconds)
const rounds = Number(values.rounds)

interface Figures {
  readonly perSecond: number
  readonly p50: number
  readonly p99: number
  readonly cpuMicroseconds: number
  readonly residentMiB: number
}

pinSelf(1)
const servers = await startServers(0)
const results: Record<string, unknown> = {}
try {
  for (const [name, scenario] of scenarios) {
    if (positionals.length > 0 && !positionals.includes(name)) continue
    process.stderr.write(`${name}: ${rounds} rounds of ${seconds} s for each server\n`)
    const runs = new Map<keyof Servers, Figures[]>()
    for (const server of Object.keys(scenario.callers) as (keyof Servers)[]) runs.set(server, [])
    const callers = new Map(
      await Promise.all(
        [...runs.keys()].map(
          async server => [server, (await scenario.callers[server]?.(servers)) ?? []] as const,
        ),
      ),
    )
    for (let round = 0; round < rounds; round++) {
      for (const [server, figures] of runs) {
        const child = servers[server]
        const before = child.cpuMicroseconds() ?? NaN
        const {
          requests,
          seconds: took,
          p50,
          p99,
        } = await load(child.url, callers.get(server) ?? [], seconds)
        figures.push({
          perSecond: requests / took,
          p50,
          p99,
          cpuMicroseconds: ((child.cpuMicroseconds() ?? NaN) - before) / requests,
          residentMiB: (child.residentBytes() ?? NaN) / 2 ** 20,
        })
      }
    }
    results[name] = report(scenario.title, runs, scenario.goals)
  }
} finally {
  for (const child of Object.values(servers)) await child.stop()
}
if (values.out !== undefined) {
  mkdirSync(new URL('.', `file://${process.cwd()}/${values.out}`), { recursive: true })
  const machine = {
    cpu: cpus()[0]?.model,
    cores: cpus().length,
    node: process.version,
    at: new Date().toISOString(),
  }
  writeFileSync(values.out, `${JSON.stringify({ machine, seconds, rounds, results }, null, 2)}\n`)
}

function report(
  title: string,
  runs: ReadonlyMap<string, readonly Figures[]>,
  goals: Partial<Record<string, number>>,
) {
  const medians = Object.fromEntries([...runs].map(([server, figures]) => [server, mediansOf(figures)]))
  const ours = medians['mintmark']
  process.stdout.write(`\n${title}\n`)
  process.stdout.write(
    '  server            requests/s   p50 ms   p99 ms   CPU µs   memory MiB   ratio by rate   by CPU\n',
  )
  const ratios: Record<string, { rate: number; cpu: number; goal: number | undefined }> = {}
  for (const [server, figures] of Object.entries(medians)) {
    const cells = [
      server.padEnd(16),
      figures.perSecond.toFixed(0).padStart(11),
      figures.p50.toFixed(2).padStart(8),
      figures.p99.toFixed(2).padStart(8),
      figures.cpuMicroseconds.toFixed(1).padStart(8),
      figures.residentMiB.toFixed(0).padStart(12),
    ]
    if (ours && server !== 'mintmark') {
      const goal = goals[server]
      const ratio = {
        rate: ours.perSecond / figures.perSecond,
        cpu: figures.cpuMicroseconds / ours.cpuMicroseconds,
        goal,
      }
      ratios[server] = ratio
      cells.push(ratio.rate.toFixed(2).padStart(15), ratio.cpu.toFixed(2).padStart(8))
      if (goal !== undefined) cells.push(`(goal ${goal})`)
    }
    process.stdout.write(`  ${cells.join(' ')}\n`)
  }
  return { title, medians, ratios }
}

function mediansOf(figures: readonly Figures[]): Figures {
  const median = (of: (figure: Figures) => number) => {
    const sorted = figures.map(of).sort((a, b) => a - b)
    return sorted[Math.floor(sorted.length / 2)] ?? NaN
  }
  return {
    perSecond: median(figure => figure.perSecond),
    p50: median(figure => figure.p50),
    p99: median(figure => figure.p99),
    cpuMicroseconds: median(figure => figure.cpuMicroseconds),
    residentMiB: median(figure => figure.residentMiB),
  }
}
