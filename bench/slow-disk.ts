import { parseArgs } from 'node:util'
import { wandering } from './callers.ts'
import { load } from './load.ts'
import { startMintmark } from './mintmark.ts'
import { pinSelf } from './processes.ts'

/*
 * npm run bench:slow-disk [-- --seconds N]
 *
 * Refreshes where each commit takes five milliseconds longer, beside those on the disk as it is: what is
 * waited for, and how many refreshes share a commit.
 */
const { values } = parseArgs({ options: { seconds: { type: 'string', default: '5' } } })
const seconds = Number(values.seconds)

pinSelf(1)
const servers = {
  'as it is': await startMintmark({ sessions: 128, cpu: 0 }),
  '5 ms slower': await startMintmark({
    sessions: 128,
    cpu: 0,
    nodeArgs: ['--import', './bench/servers/slow-disk.ts'],
  }),
}
try {
  process.stdout.write('disk          connections   refreshes/s   p50 ms   p99 ms\n')
  for (const connections of [1, 16, 64, 128]) {
    for (const [name, server] of Object.entries(servers)) {
      const callers = Array.from({ length: connections }, (_, i) =>
        wandering(server.refreshTokens, i, connections),
      )
      const { requests, seconds: took, p50, p99 } = await load(server.url, callers, seconds)
      const cells = [connections, Math.round(requests / took), p50.toFixed(1), p99.toFixed(1)]
      const [a, b, c, d] = cells.map(String)
      process.stdout.write(
        `${name.padEnd(13)} ${a?.padStart(11)} ${b?.padStart(13)} ${c?.padStart(8)} ${d?.padStart(8)}\n`,
      )
    }
  }
} finally {
  for (const server of Object.values(servers)) await server.stop()
}
