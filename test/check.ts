import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'

/*
 * Checks types, promises and format side by side. npm has put the commands into the path. Tells what each has
 * to say when all of it is there. The types are checked by one checker, since several do much of the work
 * each for itself, and what has not changed since the last time is not checked again.
 */
const checks = [
  'tsc --checkers 1 --incremental --tsBuildInfoFile node_modules/.cache/types.tsbuildinfo',
  'tsc -p examples',
  'node test/console-types.ts && tsc -p src/console/app',
  'oxlint --type-aware',
  'prettier --check --cache --cache-strategy content .',
]

const codes = await Promise.all(
  checks.map(async check => {
    const child = spawn(check, { shell: true, stdio: ['ignore', 'pipe', 'pipe'] })
    const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
    process.stdout.write(`$ ${check}\n${stdout}`)
    process.stderr.write(stderr)
    return child.exitCode
  }),
)
if (codes.some(code => code !== 0)) process.exitCode = 1
