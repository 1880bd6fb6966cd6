import { once } from 'node:events'
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import { refreshing } from './callers.ts'
import { load } from './load.ts'
import { startMintmark } from './mintmark.ts'
import { pinSelf } from './processes.ts'

/*
 * npm run bench:flood [-- --connections N] [--rate N] [--seconds N] [--rounds N]
 *
 * How long a refresh takes in a flood of password guesses on so many connections at once, each as soon as the
 * last one was answered, against how long it takes in a calm; and the event loop's delay and the memory. The
 * server has one core, which is the worst case: hashes and signatures have no other to go to.
 */
const { values } = parseArgs({
  options: {
    connections: { type: 'string', default: '300' },
    rate: { type: 'string', default: '100' },
    seconds: { type: 'string', default: '8' },
    rounds: { type: 'string', default: '3' },
  },
})
const [connections, rate, seconds, rounds] = [
  values.connections,
  values.rate,
  values.seconds,
  values.rounds,
].map(Number) as [number, number, number, number]

interface Guessed {
  readonly statuses: Readonly<Record<number, number>>
  readonly p50: number
  readonly seconds: number
}

/** Of honest users, each on a connection of its own. */
const connectionsOfUsers = 64

pinSelf(1)
const server = await startMintmark({ sessions: connectionsOfUsers, cpu: 0 })
const callers = server.refreshTokens.map(refreshing)
const mebibytes = () => ((server.residentBytes() ?? NaN) / 2 ** 20).toFixed(0)

try {
  await load(server.url, callers, 2)
  process.stdout.write(`${rate} refreshes a second, ${connections} connections that guess passwords\n`)
  process.stdout.write('           refresh p50 ms   p95 ms   p99 ms   event loop p99 ms   memory MiB\n')
  const ratios: number[] = []
  for (let round = 0; round < rounds; round++) {
    const calm = await measure('calm')
    const worker = new Worker(new URL('./guessing.ts', import.meta.url), {
      workerData: { url: server.url, connections, seconds: seconds + 2 },
    })
    const guessed = once(worker, 'message')
    // So that the queue is full when the measuring begins.
    await new Promise(resolve => setTimeout(resolve, 1000))
    const flood = await measure('in a flood')
    const [{ statuses, p50, seconds: took }] = (await guessed) as [Guessed]
    const rates = Object.entries(statuses).map(([status, count]) => `${Math.round(count / took)} × ${status}`)
    process.stdout.write(`guesses a second: ${rates.join(', ')}; p50 ${p50.toFixed(1)} ms\n`)
    ratios.push(flood.p95 / calm.p95)
  }
  ratios.sort((a, b) => a - b)
  const median = ratios[Math.floor(ratios.length / 2)] ?? NaN
  process.stdout.write(
    `the p95 of a refresh in a flood is ${median.toFixed(1)} times that in a calm (median)\n`,
  )
} finally {
  await server.stop()
}

async function measure(title: string) {
  // Each look at the metrics begins a new measurement of the event loop.
  await eventLoopMs()
  const result = await load(server.url, callers, seconds, rate)
  const cells = [result.p50, result.p95, result.p99, await eventLoopMs()].map(figure => figure.toFixed(1))
  const [a = '', b = '', c = '', d = ''] = cells
  process.stdout.write(
    `${title.padEnd(10)} ${a.padStart(14)} ${b.padStart(8)} ${c.padStart(8)} ${d.padStart(19)} ${mebibytes().padStart(12)}\n`,
  )
  return result
}

async function eventLoopMs(): Promise<number> {
  const metrics = await (await fetch(server.metricsUrl)).text()
  return 1000 * Number(/^nodejs_eventloop_lag_p99_seconds (\S+)/m.exec(metrics)?.[1])
}
