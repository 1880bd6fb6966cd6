import { parseArgs } from 'node:util'
import { each, wandering, connections } from './callers.ts'
import { load } from './load.ts'
import { startMintmark } from './mintmark.ts'
import { machine, pinSelf } from './processes.ts'

/*
 * npm run bench:batcher [-- --seconds N] [--rounds N]
 *
 * Refreshes a second on one core, all of them on disk before they are answered, with the batcher and without
 * it; each also where a commit takes five milliseconds longer. The servers take turns, so that each round has
 * the same weather.
 */
const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '5' }, rounds: { type: 'string', default: '3' } },
})
const seconds = Number(values.seconds)
const rounds = Number(values.rounds)

const hooks = { alone: './bench/servers/no-batcher.ts', slow: './bench/servers/slow-disk.ts' }
const importing = (...files: string[]) => files.flatMap(file => ['--import', file])
const disks = [
  { disk: 'as it is', without: importing(hooks.alone), with: [] },
  { disk: '5 ms slower', without: importing(hooks.alone, hooks.slow), with: importing(hooks.slow) },
]

interface Figures {
  readonly perSecond: number
  readonly cpuMicroseconds: number
}

pinSelf(1)
process.stdout.write(`${JSON.stringify(machine())}\n`)
process.stdout.write('disk           refreshes/s alone   together   ratio   CPU µs alone   together\n')
for (const { disk, ...nodeArgs } of disks) {
  const alone = await startMintmark({ sessions: 10_000, cpu: 0, nodeArgs: nodeArgs.without })
  const together = await startMintmark({ sessions: 10_000, cpu: 0, nodeArgs: nodeArgs.with })
  try {
    const measured: { alone: Figures; together: Figures }[] = []
    for (let round = 0; round < rounds; round++) {
      measured.push({ alone: await measure(alone), together: await measure(together) })
    }
    const cell = (width: number, digits: number, of: (round: (typeof measured)[number]) => number) => {
      const median = measured.map(of).toSorted((a, b) => a - b)[Math.floor(rounds / 2)] ?? 0
      return median.toFixed(digits).padStart(width)
    }
    const cells = [
      cell(19, 0, round => round.alone.perSecond),
      cell(10, 0, round => round.together.perSecond),
      cell(7, 2, round => round.together.perSecond / round.alone.perSecond),
      cell(14, 0, round => round.alone.cpuMicroseconds),
      cell(10, 0, round => round.together.cpuMicroseconds),
    ]
    process.stdout.write(`${disk.padEnd(13)} ${cells.join(' ')}\n`)
  } finally {
    await alone.stop()
    await together.stop()
  }
}

async function measure(server: Awaited<ReturnType<typeof startMintmark>>): Promise<Figures> {
  const before = server.cpuMicroseconds() ?? 0
  const callers = each(i => wandering(server.refreshTokens, i, connections))
  const { requests, seconds: took } = await load(server.url, callers, seconds)
  return {
    perSecond: requests / took,
    cpuMicroseconds: ((server.cpuMicroseconds() ?? 0) - before) / requests,
  }
}
