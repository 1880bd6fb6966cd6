import { spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, readFileSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { commandLine } from '../helpers/cli.ts'

const root = join(import.meta.dirname, '../..')
const read = (file: string) => readFileSync(join(root, file), 'utf8')
const program = join(root, 'mintmark')
const { version } = JSON.parse(read('package.json'))

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
  t.strictSame(entryPoint, ['node', ...nodeArgs, '/app/dist/main.js'])
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

t.test(
  'in a checkout ./mintmark runs on the Node.js of the checkout, from wherever it is called',
  async t => {
    const elsewhere = t.testdir({
      bin: { node: '#!/bin/sh\necho an older one', mm: t.fixture('symlink', program) },
    })
    chmodSync(join(elsewhere, 'bin/node'), 0o755)
    const PATH = `${join(elsewhere, 'bin')}:/usr/bin:/bin`
    for (const command of [program, 'mm']) {
      const { stdout, stderr } = spawnSync(command, ['--version'], {
        cwd: elsewhere,
        env: { PATH },
        encoding: 'utf8',
      })
      t.strictSame({ stdout, stderr }, { stdout: `${version}\n`, stderr: '' }, command)
    }
    const bare = join(elsewhere, 'mintmark')
    copyFileSync(program, bare)
    const { status, stderr } = spawnSync(bare, ['--version'], { env: { PATH }, encoding: 'utf8' })
    t.strictSame(
      [status, stderr],
      [1, `mintmark: \`npm ci\` in ${realpathSync(elsewhere)} has to come first\n`],
    )
  },
)
