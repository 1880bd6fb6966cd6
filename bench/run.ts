import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { drawRatios } from './chart.ts'
import { fillDocument, inDocs } from './document.ts'
import { drawFlameGraph } from './flame-graph.ts'
import { load, type Caller } from './load.ts'
import { startMintmark } from './mintmark.ts'
import { machine, pinSelf } from './processes.ts'
import type { Scenario, Servers } from './scenario.ts'
import { scenarios, startServers } from './scenarios.ts'

/*
 * npm run bench [-- SCENARIO …] [--seconds N] [--rounds N] [--docs] [--profile FILE]
 *
 * Runs each scenario against all servers in turn, several rounds, and prints medians and ratios of medians.
 * The floor, where a scenario has one, shows what ours could reach at best. All servers are on one core and
 * this process is on another, where the system can pin them. With --docs, docs/performance.md and the files
 * beside it are written anew. --profile draws where the server's time went, as a flame graph; the ratios of
 * that run are void.
 */
const { values, positionals } = parseArgs({
  options: {
    seconds: { type: 'string', default: '4' },
    rounds: { type: 'string', default: '3' },
    docs: { type: 'boolean', default: false },
    profile: { type: 'string' },
  },
  allowPositionals: true,
})
const seconds = Number(values.seconds)
const rounds = Number(values.rounds)
if (values.docs && positionals.length > 0) throw new Error('--docs writes all rows: name no scenario with it')
const names = positionals.length > 0 ? positionals : [...scenarios.keys()]
for (const name of names) {
  if (!scenarios.has(name))
    throw new Error(`no scenario ${name}: there are ${[...scenarios.keys()].join(', ')}`)
}

interface Figures {
  readonly perSecond: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
  /** Milliseconds, at half the rate of `perSecond`. */
  readonly p99AtHalfLoad: number
  readonly cpuMicroseconds: number
  readonly residentMiB: number
}

/** Of one server to another; more is better. */
interface Ratio {
  readonly rate: number
  readonly cpu: number
}

export interface Result {
  readonly title: string
  readonly isLogIn: boolean
  readonly medians: Readonly<Record<string, Figures>>
  /** Of our server to each of the others. */
  readonly ratios: Readonly<Record<string, Ratio & { readonly goal: number | undefined }>>
  /** Of the floor to the bare server: what ours could reach at best. */
  readonly floorToBare: Ratio | undefined
}

pinSelf(1)
const profileDirectory = values.profile === undefined ? undefined : mkdtempSync(join(tmpdir(), 'profile-'))
const firstAnswerMs = await medianFirstAnswerMs()
process.stdout.write(`from its start to its first answer: ${firstAnswerMs.toFixed(0)} ms\n`)
const servers = await startServers(names, { cpu: 0, profileDirectory })
const results: Record<string, Result> = {}
try {
  for (const name of names) {
    const scenario = scenarios.get(name)
    if (!scenario) continue
    process.stderr.write(`${name}: ${rounds} rounds of ${seconds} s for each server\n`)
    results[name] = report(scenario, await measure(scenario))
  }
} finally {
  for (const child of Object.values(servers)) await child.stop()
}
if (values.docs) {
  const measured = { machine: machine(), seconds, rounds, firstAnswerMs, results }
  write(inDocs('performance.json'), `${JSON.stringify(measured, null, 2)}\n`)
  write(inDocs('performance.svg'), drawRatios(results))
  fillDocument('performance.md', {
    ratios: `${howMeasured(measured)}\n\n${ratioTable(results, false)}`,
    'log-in ratios': ratioTable(results, true),
  })
}
if (values.profile !== undefined && profileDirectory !== undefined) {
  // A server starts itself anew, and leaves the profile of its first moment too.
  const file = readdirSync(profileDirectory).sort().at(-1) ?? ''
  write(values.profile, drawFlameGraph(JSON.parse(readFileSync(join(profileDirectory, file), 'utf8'))))
  rmSync(profileDirectory, { recursive: true })
}

function write(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
  process.stderr.write(`${file} is written\n`)
}

type ServerName = keyof Servers

async function measure(scenario: Scenario): Promise<ReadonlyMap<ServerName, Figures>> {
  const callers = new Map<ServerName, readonly Caller[]>()
  for (const name of Object.keys(scenario.callers) as ServerName[]) {
    callers.set(name, (await scenario.callers[name]?.(servers)) ?? [])
  }
  const runs = new Map<ServerName, Omit<Figures, 'p99AtHalfLoad'>[]>(
    [...callers.keys()].map(name => [name, []]),
  )
  for (let round = 0; round < rounds; round++) {
    await scenario.prepare?.(servers, seconds)
    for (const [name, figures] of runs) figures.push(await measureOnce(name, callers.get(name) ?? []))
  }
  const medians = new Map<ServerName, Figures>()
  await scenario.prepare?.(servers, seconds)
  for (const [name, figures] of runs) {
    const perSecond = median(figures, figure => figure.perSecond)
    const { p99 } = await load(servers[name]?.url ?? '', callers.get(name) ?? [], seconds, perSecond / 2)
    medians.set(name, {
      perSecond,
      p50: median(figures, figure => figure.p50),
      p99: median(figures, figure => figure.p99),
      p99AtHalfLoad: p99,
      cpuMicroseconds: median(figures, figure => figure.cpuMicroseconds),
      residentMiB: median(figures, figure => figure.residentMiB),
    })
  }
  return medians
}

async function measureOnce(name: ServerName, callers: readonly Caller[]) {
  const child = servers[name]
  if (!child) throw new Error(`unreachable: ${name} was started`)
  const before = child.cpuMicroseconds() ?? NaN
  const { requests, seconds: took, p50, p99 } = await load(child.url, callers, seconds)
  return {
    perSecond: requests / took,
    p50,
    p99,
    cpuMicroseconds: ((child.cpuMicroseconds() ?? NaN) - before) / requests,
    residentMiB: (child.residentBytes() ?? NaN) / 2 ** 20,
  }
}

/** Prints what was measured, and returns it with its ratios. */
function report(
  { title, isLogIn = false, goals }: Scenario,
  medians: ReadonlyMap<ServerName, Figures>,
): Result {
  const [ours] = medians.values()
  process.stdout.write(`\n${title}\n`)
  process.stdout.write(
    '  server              requests/s   p50 ms   p99 ms   at half load   CPU µs   memory MiB   ratio by rate   by CPU\n',
  )
  const ratios: Record<string, Result['ratios'][string]> = {}
  const floor = medians.get('floor') ?? medians.get('floorOnPostgres')
  const bare = medians.get('bare')
  const floorToBare = floor && bare && ratioOf(floor, bare)
  for (const [name, figures] of medians) {
    const cells = [
      name.padEnd(18),
      figures.perSecond.toFixed(0).padStart(11),
      figures.p50.toFixed(2).padStart(8),
      figures.p99.toFixed(2).padStart(8),
      figures.p99AtHalfLoad.toFixed(2).padStart(14),
      figures.cpuMicroseconds.toFixed(1).padStart(8),
      figures.residentMiB.toFixed(0).padStart(12),
    ]
    if (ours && ours !== figures) {
      const { rate, cpu } = ratioOf(ours, figures)
      const goal = goals[name]
      ratios[name] = { rate, cpu, goal }
      cells.push(rate.toFixed(2).padStart(15), cpu.toFixed(2).padStart(8))
      if (goal !== undefined) cells.push(`(goal ${goal})`)
      if (floorToBare && figures === floor)
        cells.push(`(to bare ${floorToBare.rate.toFixed(2)}, by CPU ${floorToBare.cpu.toFixed(2)})`)
    }
    process.stdout.write(`  ${cells.join(' ')}\n`)
  }
  if (ours && floor)
    process.stdout.write(
      `  p99 at half load: ${(ours.p99AtHalfLoad / floor.p99AtHalfLoad).toFixed(1)} times the floor's (goal 5)\n`,
    )
  return { title, isLogIn, medians: Object.fromEntries(medians), ratios, floorToBare }
}

function ratioOf(one: Figures, other: Figures): Ratio {
  return {
    rate: one.perSecond / other.perSecond,
    cpu: other.cpuMicroseconds / one.cpuMicroseconds,
  }
}

interface Measured {
  readonly machine: ReturnType<typeof machine>
  readonly firstAnswerMs: number
  readonly results: Readonly<Record<string, Result>>
}

function howMeasured({ machine: { cpu, cores, node, at }, firstAnswerMs }: Measured): string {
  return `Measured on ${at.slice(0, 10)}: ${cores} cores of ${cpu}, Node.js ${node}. From its start to its first answer the server took ${firstAnswerMs.toFixed(0)} ms.`
}

/** Markdown: the rows of logging in, or all others. */
function ratioTable(results: Measured['results'], ofLogIn: boolean): string {
  const shown = Object.values(results).filter(({ isLogIn }) => isLogIn === ofLogIn)
  const rows = shown.map(({ title, medians, ratios, floorToBare }) => {
    const [ours] = Object.values(medians)
    const { bare, floor = ratios['floorOnPostgres'], oidcProvider } = ratios
    const slower = (ours?.p99AtHalfLoad ?? NaN) / (medians['bare']?.p99AtHalfLoad ?? NaN)
    const cells = [
      title,
      both(bare),
      bare?.goal,
      both(floorToBare),
      both(floor),
      oidcProvider?.rate.toFixed(1),
      oidcProvider?.goal,
      Number.isNaN(slower) ? '' : slower.toFixed(1),
      `${ours?.cpuMicroseconds.toFixed(0)} µs`,
    ]
    return `| ${cells.map(cell => cell ?? '').join(' | ')} |`
  })
  return [
    '| | to bare Fastify | goal | the floor to bare Fastify | to the floor | to node-oidc-provider | goal | p99 at half load, to bare Fastify | CPU |',
    '| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |',
    ...rows,
  ].join('\n')
}

/** By rate, and by CPU. */
function both(ratio: Ratio | undefined): string | undefined {
  return ratio && `${ratio.rate.toFixed(2)}, ${ratio.cpu.toFixed(2)}`
}

/** Of five starts, each with a database that is there. */
async function medianFirstAnswerMs(): Promise<number> {
  const starts: number[] = []
  for (let i = 0; i < 5; i++) {
    const server = await startMintmark({ sessions: 1, cpu: 0 })
    starts.push(server.firstAnswerMs)
    await server.stop()
  }
  return median(starts, milliseconds => milliseconds)
}

function median<T>(items: readonly T[], of: (item: T) => number): number {
  const sorted = items.map(of).sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? NaN
}
