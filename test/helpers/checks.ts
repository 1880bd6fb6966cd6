import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'

/**
 * What is checked but by tests: types, promises and format. npm has put the commands into the path. The types
 * are checked by one checker, since several do much of the work each for itself, and what has not changed
 * since the last time is not checked again.
 */
export const checks: readonly string[] = [
  'oxlint --type-aware',
  'tsc --checkers 1 --incremental --tsBuildInfoFile node_modules/.cache/types.tsbuildinfo',
  'node test/format.ts',
  'node test/console-types.ts && tsc -p src/console/app',
  'tsc -p examples',
]

export interface Checked {
  readonly code: number | null
  readonly output: string
}

/** Runs one of them, and tells what it has to say when all of it is there. */
export async function check(command: string): Promise<Checked> {
  // tap puts handlers of its own into each Node.js that a test starts.
  const child = spawn(`unset NODE_OPTIONS; (${command}) 2>&1`, {
    shell: true,
    stdio: ['ignore', 'pipe', 'inherit'],
    // To look for garbage less often takes a fifth of the time off what is written in Go.
    env: { ...process.env, GOGC: '400', GOMEMLIMIT: '2GiB' },
  })
  const [output] = await Promise.all([text(child.stdout), once(child, 'close')])
  return { code: child.exitCode, output }
}
