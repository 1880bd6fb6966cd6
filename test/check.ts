import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'

/*
 * Checks types, promises and format side by side: the last one takes one core longer than the others take
 * two. npm has put the commands into the path. Tells what each has to say when all of it is there.
 */
const checks = [
  'tsc',
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
