import { parseArgs } from 'node:util'
import { connections, refreshing } from './callers.ts'
import { load } from './load.ts'
import { startMintmark } from './mintmark.ts'
import { pinSelf } from './processes.ts'

/*
 * npm run bench:memory [-- --refreshes N]
 *
 * Resident memory of a server through so many refreshes (two million), printed after each hundred thousand.
 */
const { values } = parseArgs({ options: { refreshes: { type: 'string', default: '2000000' } } })
const refreshes = Number(values.refreshes)

pinSelf(1)
const server = await startMintmark({ sessions: connections, cpu: 0 })
const callers = server.refreshTokens.map(refreshing)
const mebibytes = () => ((server.residentBytes() ?? NaN) / 2 ** 20).toFixed(0)
process.stdout.write(`at the start: ${mebibytes()} MiB\n`)
try {
  let done = 0
  let said = 0
  while (done < refreshes) {
    done += (await load(server.url, callers, 2)).requests
    if (done - said < 100_000 && done < refreshes) continue
    said = done
    process.stdout.write(`after ${done.toLocaleString('en-US')} refreshes: ${mebibytes()} MiB\n`)
  }
} finally {
  await server.stop()
}
