#!/usr/bin/env node
// The one file that acts when it is loaded, and the only one that reads the environment, the arguments and
// the clock.
import process from 'node:process'
import { systemClock } from './clock.ts'
import { keepTicksQuick } from './quick-ticks.ts'
import { obeySignals } from './signals.ts'

const oldestNode = 24

/**
 * Arguments that a server, and an import of many users, start Node.js with: the room for new objects, in MiB
 * (with less, some starts end 60 MiB higher), and by how many per cent the heap may grow before it is
 * collected. The defaults of Node.js take more memory, and are no faster. V8 hears of these only when it
 * starts, and not every system's `env` passes them on from the first line of this file.
 */
const nodeArgs = ['--max-semi-space-size=8', '--heap-growing-percent=60', '--disable-sigusr1']

if (Number(process.versions.node.split('.')[0]) < oldestNode) {
  process.stderr.write(
    `mintmark: needs Node.js ${oldestNode} or newer, but this is ${process.versions.node} (${process.execPath})\n`,
  )
  process.exitCode = 1
} else if (isToStartAnew()) {
  // In the same process, so that its parent has the same one to watch and to end. Until then a signal ends
  // it by itself: one that was taken here would be forgotten there.
  const [, ...ownArgs] = process.argv
  process.execve?.(
    process.execPath,
    [process.execPath, ...nodeArgs, ...process.execArgv, ...ownArgs],
    process.env,
  )
} else {
  keepTicksQuick()
  const clock = systemClock()
  const onSignal = obeySignals(clock)
  // Loaded only now: an older Node.js would fail on the way here, and not say why.
  const { runCommandLine } = await import('./commands/shell/command-line.ts')
  await runCommandLine(
    {
      env: process.env,
      workingDirectory: process.cwd(),
      clock,
      stdin: process.stdin,
      stdout: process.stdout,
      stderr: process.stderr,
      onSignal,
      fail: exitCode => {
        process.exitCode = exitCode
      },
    },
    process.argv.slice(2),
  )
}

/**
 * Whether this is to be a server or an import, and Node.js was not started as for one. Windows cannot put
 * another program in its place.
 */
function isToStartAnew(): boolean {
  const [, , noun = '', verb] = process.argv
  const isServer = ['serve', 'dev'].includes(noun)
  const isImport = noun === 'user' && verb === 'import'
  return (
    (isServer || isImport) &&
    process.platform !== 'win32' &&
    nodeArgs.some(arg => !process.execArgv.includes(arg))
  )
}
