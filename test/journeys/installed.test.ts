import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { commandLine } from '../cli.ts'

const read = (file: string) => readFileSync(join(import.meta.dirname, '../..', file), 'utf8')

/** Has each Node.js that starts say which process it is, and what it was started with. */
const telling = encodeURIComponent(
  "process.stderr.write('\\nstarted ' + JSON.stringify([process.pid, ...process.execArgv]) + '\\n')",
)
const env = { NODE_OPTIONS: `--import=data:text/javascript,${telling}` }
const starts = (stderr: string): unknown[] =>
  [...stderr.matchAll(/^started (.+)$/gm)].map(([, line = '']) => JSON.parse(line))

t.test('a server runs with what the image starts Node.js with, in the process that was started', async t => {
  const entryPoint = JSON.parse(/^ENTRYPOINT (.+)$/m.exec(read('deploy/Dockerfile'))?.[1] ?? '[]')
  const nodeArgs: string[] = entryPoint.slice(1, -1)
  t.strictSame(entryPoint, ['node', ...nodeArgs, '/app/dist/src/main.js'])
  t.match(nodeArgs, [/^--/])

  const { serve, run } = commandLine(t)
  const server = await serve(env)
  const { pid } = server.process
  t.strictSame(starts(server.said()), [[pid], [pid, ...nodeArgs]])

  const { stderr } = await run('key list', { env })
  t.equal(starts(stderr).length, 1, 'a command that is soon done is started once')
})

t.test('the command names its interpreter with the one word that every env takes', async t => {
  t.equal(read('src/main.ts').split('\n')[0], '#!/usr/bin/env node')
})
