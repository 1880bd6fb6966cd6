import { parseArgs } from 'node:util'
import { connections, refreshing } from './callers.ts'
import { load, type Caller } from './load.ts'
import { clientId, clientSecret, resource, startMintmark, type Mintmark } from './mintmark.ts'
import { startMintmarkOnPostgres } from './postgres.ts'
import { machine, startChild, type Child } from './processes.ts'

/*
 * npm run bench:workers [-- --workers N] [--seconds N] [--rounds N] [--apart] [--peer]
 *
 * Compares a server of one process with one of several (2 by default), on both engines: refreshes a second,
 * CPU and memory of all their processes together, and the time to the first answer; then the slowest
 * hundredth at half of that rate. They take turns. Neither they nor this process, which makes the load, are
 * kept on one core; so does PostgreSQL share them. So it says what the load takes for each request: on a
 * machine with few cores no server can have them all.
 *
 * With --apart, beside them are as many servers with a database each, which have nothing to agree on: what
 * the machine has to give. With --peer, node-oidc-provider by itself and as a cluster of as many processes,
 * in memory.
 */
const { values } = parseArgs({
  options: {
    workers: { type: 'string', default: '2' },
    seconds: { type: 'string', default: '4' },
    rounds: { type: 'string', default: '5' },
    apart: { type: 'boolean', default: false },
    peer: { type: 'boolean', default: false },
  },
})
const several = Number(values.workers)
const seconds = Number(values.seconds)
const rounds = Number(values.rounds)

interface Contestant {
  readonly name: string
  /** One, or those that share the work. */
  readonly servers: readonly Child[]
  readonly callersOf: (round: number) => readonly Caller[]
}

interface Figure {
  readonly perSecond: number
  /** Milliseconds. */
  readonly p99: number
  readonly cpuMicroseconds: number
  readonly loadMicroseconds: number
  readonly mebibytes: number
}

await compare('SQLite', () => contestantsOf(startMintmark))
await compare('PostgreSQL', () => contestantsOf(startMintmarkOnPostgres))
if (values.peer) await compare('node-oidc-provider, in memory', peers)
process.stdout.write(`${JSON.stringify(machine())}\n`)

async function contestantsOf(start: typeof startMintmark): Promise<readonly Contestant[]> {
  const startOne = (workers: number, sessions = connections) =>
    start({ sessions, cpu: undefined, env: { MINTMARK_WORKERS: String(workers) } })
  const contestants: Contestant[] = []
  for (const workers of [1, several]) {
    const server = await startOne(workers)
    const callers = server.refreshTokens.map(refreshing)
    contestants.push({ name: `${workers} at work`, servers: [server], callersOf: () => callers })
  }
  if (!values.apart) return contestants
  const apart: Mintmark[] = []
  for (let i = 0; i < several; i++) apart.push(await startOne(1, Math.ceil(connections / several)))
  // The load goes to one after the other.
  const callers = Array.from({ length: connections }, (_, i) =>
    refreshing(apart[i % several]?.refreshTokens[Math.floor(i / several)] ?? ''),
  )
  return [...contestants, { name: `${several} apart`, servers: apart, callersOf: () => callers }]
}

/**
 * A process of their cluster knows the first tokens and those that it has given itself. So each round begins
 * with first tokens: its connections may have come to other processes than those of the last one.
 */
async function peers(): Promise<readonly Contestant[]> {
  const contestants: Contestant[] = []
  for (const processes of [1, several]) {
    const args = [(rounds + 1) * connections, clientId, clientSecret, resource, processes].map(String)
    const server = await startChild(['bench/servers/oidc-provider.ts', ...args], { cpu: undefined })
    const line = server.said.find(said => said.startsWith('{"refreshTokens"')) ?? ''
    const { refreshTokens } = JSON.parse(line) as { refreshTokens: readonly string[] }
    const callersOf = (round: number) =>
      refreshTokens.slice(round * connections, (round + 1) * connections).map(refreshing)
    contestants.push({ name: `${processes} at work`, servers: [server], callersOf })
  }
  return contestants
}

async function compare(title: string, start: () => Promise<readonly Contestant[]>): Promise<void> {
  const contestants = await start()
  const figures = new Map(contestants.map(contestant => [contestant, [] as Figure[]]))
  for (let round = 0; round < rounds; round++) {
    for (const [contestant, all] of figures) all.push(await measure(contestant, round))
    process.stderr.write('.')
  }
  process.stdout.write(`\n${title}\n`)
  let one: Figure | undefined
  for (const [contestant, all] of figures) {
    const figure = medians(all)
    one ??= figure
    const { p99: p99AtHalf } = await measure(contestant, rounds, figure.perSecond / 2)
    const cells = [
      `${figure.perSecond.toFixed(0)} refreshes/s`,
      `p99 ${figure.p99.toFixed(1)} ms, ${p99AtHalf.toFixed(1)} at half load`,
      `${figure.cpuMicroseconds.toFixed(1)} µs CPU each (the load ${figure.loadMicroseconds.toFixed(1)})`,
      `${figure.mebibytes.toFixed(0)} MiB`,
      `first answer after ${Math.max(...contestant.servers.map(server => server.firstAnswerMs)).toFixed(0)} ms`,
    ]
    if (one !== figure)
      cells.push(
        `${(figure.perSecond / one.perSecond).toFixed(2)} times the rate`,
        `${(figure.cpuMicroseconds / one.cpuMicroseconds).toFixed(2)} times the CPU of each`,
      )
    process.stdout.write(`  ${contestant.name}: ${cells.join(', ')}\n`)
  }
  for (const { servers } of contestants) for (const server of servers) await server.stop()
}

async function measure({ servers, callersOf }: Contestant, round: number, rate?: number): Promise<Figure> {
  const sum = (of: (server: Child) => number | undefined) =>
    servers.reduce((total, server) => total + (of(server) ?? NaN), 0)
  const before = sum(server => server.cpuMicroseconds())
  const urls = servers.map(({ url }) => url)
  const {
    requests,
    seconds: took,
    p99,
    ownCpuMicroseconds,
  } = await load(urls, callersOf(round), seconds, rate)
  return {
    perSecond: requests / took,
    p99,
    cpuMicroseconds: (sum(server => server.cpuMicroseconds()) - before) / requests,
    loadMicroseconds: ownCpuMicroseconds,
    mebibytes: sum(server => server.residentBytes()) / 1024 / 1024,
  }
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
