import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t from 'tap'

/*
 * Every test of a whole server, on PostgreSQL. Most of them run on SQLite alone each day, and those about
 * races and crashes on both.
 */
const directory = join(import.meta.dirname, '..')
const folders = ['fuzz', 'journeys', 'postgres', 'processes', 'server']

for (const file of folders.flatMap(testFiles)) {
  if (!/'\.\.\/helpers\/(console|server|records)\.ts'/.test(readFileSync(join(directory, file), 'utf8')))
    continue
  t.test(`${file} is the same on PostgreSQL`, async t => {
    const child = spawn(process.execPath, [join(directory, file)], {
      cwd: join(directory, '..'),
      // Not as a child of the runner, which would leave out the line that counts.
      env: {
        ...process.env,
        TEST_ENGINE: 'postgres',
        // How often something is done in full has nothing to do with the engine.
        TEST_IN_FULL: undefined,
        TEST_RUNNER: String(process.pid),
        TAP_CHILD_ID: '',
        TAP_TIMEOUT: '600',
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [output] = await Promise.all([text(child.stdout), once(child, 'close')])
    const passed = Number(/^# \{ total: \d+, pass: (\d+) \}$/m.exec(output)?.[1] ?? 0)
    const failures = output.split('\n').filter(line => /^ *not ok/.test(line))
    t.strictSame([child.exitCode, failures], [0, []])
    t.ok(passed > 0, `${passed} assertions`)
  })
}

function testFiles(folder: string): string[] {
  return readdirSync(join(directory, folder))
    .filter(name => name.endsWith('.test.ts'))
    .map(name => join(folder, name))
    .sort()
}
