import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { bareEnv } from './bare-env.ts'
import { builtProgram } from './built-program.ts'
import { freePort } from './free-port.ts'
import { compiler, run } from './packed.ts'

const root = join(import.meta.dirname, '../..')

/** A directory with the examples and the kit as it is published, beside nothing but the modules named. */
export function installExamples(t: Test, ...names: readonly string[]): string {
  const directory = mkdtempSync(join(tmpdir(), 'mintmark-examples-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const modules = join(directory, 'node_modules')
  const kit = join(modules, '@mintmark/resource-server')
  mkdirSync(kit, { recursive: true })
  cpSync(join(root, 'kit/package.json'), join(kit, 'package.json'))
  // `npm run check` has checked the types.
  const args = ['-p', join(root, 'kit'), '--outDir', join(kit, 'dist'), '--noCheck']
  const { status, output } = run(directory, process.execPath, [compiler, ...args])
  if (status !== 0) throw new Error(output)
  for (const name of names) {
    mkdirSync(dirname(join(modules, name)), { recursive: true })
    symlinkSync(join(root, 'node_modules', name), join(modules, name))
  }
  writeFileSync(join(directory, 'package.json'), '{"type":"module"}')
  cpSync(join(root, 'examples'), join(directory, 'examples'), { recursive: true })
  return directory
}

export interface Started {
  readonly child: ChildProcess
  /** What it had said by then. */
  readonly output: string
}

/** Starts a program, Node.js unless told, and waits until it has said something. */
export async function start(
  t: Test,
  directory: string,
  args: readonly string[],
  options: { readonly env: Record<string, string>; readonly says: RegExp; readonly program?: string },
): Promise<Started> {
  const { env, says, program = process.execPath } = options
  const child = spawn(program, args, { cwd: directory, env: { ...bareEnv, ...env } })
  t.teardown(() => end(child))
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => (output += String(chunk)))
  while (!says.test(output)) {
    if (child.exitCode !== null) throw new Error(output)
    await sleep(20)
  }
  return { child, output }
}

export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'close')
}

/**
 * Starts `mintmark dev` on a port of its own: the program as it is built, which takes half the time, or with
 * `asSources` as `npm start` does.
 */
export async function startDev(
  t: Test,
  options: {
    readonly home: string
    readonly port?: number
    readonly env?: Record<string, string>
    readonly asSources?: boolean
  },
): Promise<Started & { readonly issuer: string; readonly env: Record<string, string> }> {
  const port = options.port ?? (await freePort())
  const issuer = `http://127.0.0.1:${port}`
  const env = {
    MINTMARK_HOME: options.home,
    MINTMARK_PORT: String(port),
    MINTMARK_METRICS_PORT: '0',
    MINTMARK_ISSUER: issuer,
    ...options.env,
  }
  const program = options.asSources ? 'src/main.ts' : builtProgram()
  const started = await start(t, root, [program, 'dev'], { env, says: /Ctrl-C ends/ })
  return { ...started, issuer, env }
}

/** Waits for what must be so in a while; how long, the test's own limit says. */
export async function until(isSo: () => Promise<boolean>): Promise<number> {
  const startedAt = performance.now()
  while (!(await isSo())) await sleep(50)
  return performance.now() - startedAt
}
