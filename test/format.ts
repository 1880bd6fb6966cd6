import { spawnSync } from 'node:child_process'

/*
 * Checks the format of all files. oxfmt does so in a tenth of the time that Prettier takes, and breaks only
 * some unions where that does not: so Prettier has the last word on the files that oxfmt would change.
 */
const fast = spawnSync('oxfmt', ['--config', '.prettierrc.json', '--list-different'], { encoding: 'utf8' })
if (fast.status === 1) {
  const files = fast.stdout.split('\n').filter(line => line !== '')
  const { status } = spawnSync('prettier', ['--check', ...files], { stdio: 'inherit' })
  process.exitCode = status ?? 1
} else if (fast.status !== 0) throw new Error(`not every file could be read: ${fast.error ?? fast.stderr}`)
