#!/usr/bin/env -S node --max-semi-space-size=8 --heap-growing-percent=60
// Above, in MiB, the room for what has just been made (with less, some starts end 60 MiB higher), and by how many per cent the
// heap may grow before it is collected. What Node.js takes by itself is more, and no faster.
// The one file that acts when it is loaded, and the only one that reads the environment, the arguments and the clock.
import process from 'node:process'

const oldestNode = 24

if (Number(process.versions.node.split('.')[0]) < oldestNode) {
  process.stderr.write(
    `mintmark: needs Node.js ${oldestNode} or newer, but this is ${process.versions.node} (${process.execPath})\n`,
  )
  process.exitCode = 1
} else {
  // Loaded only now: an older Node.js would fail on the way here, and not say why.
  const { runCommandLine } = await import('./commands/command-line.ts')
  await runCommandLine(
    {
      env: process.env,
      workingDirectory: process.cwd(),
      now: () => Math.floor(Date.now() / 1000),
      stdin: process.stdin,
      stdout: process.stdout,
      stderr: process.stderr,
      fail: exitCode => {
        process.exitCode = exitCode
      },
    },
    process.argv.slice(2),
  )
}
