import { spawn, type ChildProcess, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable, Writable } from 'node:stream'
import { text } from 'node:stream/consumers'
import type { Test } from 'tap'
import { systemClock } from '../../src/clock.ts'
import { runCommandLine } from '../../src/commands/shell/command-line.ts'
import type { Terminal } from '../../src/commands/shell/command.ts'
import { bareEnv } from './bare-env.ts'
import { builtProgram } from './built-program.ts'
import './rsa-keys.ts'
import { scratchFolder } from './scratch.ts'

const root = join(import.meta.dirname, '../..')

/** Nothing ever answers there: `fetch` itself refuses this port. */
export const issuer = 'http://127.0.0.1:1'

export interface Outcome {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  /** The one document on stdout. */
  json(): any
}

export interface CommandLine {
  readonly home: string
  /** Runs `mintmark` as a process of its own, with words separated by spaces or given one by one. */
  run(args: string | readonly string[], options?: RunOptions): Promise<Outcome>
  /** Runs it within this process, which is much faster. */
  call(args: string | readonly string[], options?: RunOptions): Promise<Outcome>
  /** Like `run`, but fails the test unless it succeeds. */
  succeed(args: string | readonly string[], options?: RunOptions): Promise<Outcome>
  /** Starts it as a process of its own, and leaves it alone. */
  start(
    args: readonly string[],
    env?: Record<string, string>,
    /** What starts Node.js, if not it itself. */
    node?: readonly string[],
  ): ChildProcessWithoutNullStreams
  /** Starts `mintmark serve` on a free port, and ends it with the test. */
  serve(env?: Record<string, string>, node?: readonly string[]): Promise<RunningServer>
}

export interface RunOptions {
  /** What it reads from stdin. */
  readonly input?: string | Buffer
  readonly env?: Record<string, string>
}

export interface RunningServer {
  readonly url: string
  readonly process: ChildProcess
  /** What it has written to stderr so far. */
  said(): string
  post(path: string, form: Record<string, string>): Promise<{ readonly status: number; readonly body: any }>
}

/** Applies what a file declares. */
export function applier({ home, call }: CommandLine) {
  const file = join(home, 'declared.yaml')
  return (content: string, options = ['--yes', '--json']) => {
    writeFileSync(file, content)
    return call(['apply', file, ...options])
  }
}

/** A command line with a home of its own, in which nothing is yet. */
export function commandLine(t: Test, home = scratchFolder(t)): CommandLine {
  const environment = (env: Record<string, string> = {}) => ({
    ...bareEnv,
    MINTMARK_HOME: home,
    MINTMARK_ISSUER: issuer,
    ...env,
  })
  const start: CommandLine['start'] = (args, env, [command = '', ...before] = [process.execPath]) =>
    spawn(command, [...before, builtProgram(), ...args], { env: environment(env), cwd: root })

  const run = async (
    args: string | readonly string[],
    { input = '', env }: RunOptions = {},
  ): Promise<Outcome> => {
    const child = start(typeof args === 'string' ? args.split(' ') : args, env)
    // A process that fails before it reads has closed its stdin.
    child.stdin.on('error', () => {})
    child.stdin.end(input)
    const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
    return { code: child.exitCode, stdout, stderr, json: () => JSON.parse(stdout) }
  }
  return {
    home,
    run,
    start,
    call: async (args, { input = '', env } = {}) => {
      const [stdout, stderr] = [captured(), captured()]
      let code = 0
      const terminal: Terminal = {
        env: environment(env),
        workingDirectory: root,
        clock: systemClock(),
        stdin: Readable.from([input]) as unknown as NodeJS.ReadStream,
        stdout: stdout.stream,
        stderr: stderr.stream,
        onSignal: () => () => {},
        fail: exitCode => {
          code = exitCode
        },
      }
      await runCommandLine(terminal, typeof args === 'string' ? args.split(' ') : args)
      return { code, stdout: stdout.text(), stderr: stderr.text(), json: () => JSON.parse(stdout.text()) }
    },
    succeed: async (args, options) => {
      const outcome = await run(args, options)
      t.equal(outcome.code, 0, `mintmark ${String(args)} succeeds\n${outcome.stderr}`)
      return outcome
    },
    serve: async (env, node) => {
      const settings = { MINTMARK_PORT: '0', MINTMARK_METRICS_PORT: '0', MINTMARK_DRAIN: '0', ...env }
      const child = start(['serve'], settings, node)
      t.teardown(async () => {
        if (child.exitCode !== null || child.signalCode !== null) return
        child.kill('SIGKILL')
        await once(child, 'close')
      })
      const chunks: string[] = []
      child.stderr?.on('data', chunk => void chunks.push(String(chunk)))
      const said = () => chunks.join('')
      const url = await listeningAt(child, said)
      return { url, process: child, said, post: (path, form) => post(`${url}${path}`, form) }
    },
  }
}

function captured() {
  const chunks: string[] = []
  const write = (chunk: unknown, _encoding: string, done: () => void) => {
    chunks.push(String(chunk))
    done()
  }
  return { stream: new Writable({ write }) as unknown as NodeJS.WriteStream, text: () => chunks.join('') }
}

/** Reads the server's log until it says where it listens. */
function listeningAt(child: ChildProcess, said: () => string): Promise<string> {
  return new Promise((resolve, reject) => {
    const look = () => {
      const port = /"port":(\d+)/.exec(said())?.[1]
      if (port === undefined) return
      child.stderr?.off('data', look)
      resolve(`http://127.0.0.1:${port}`)
    }
    child.stderr?.on('data', look)
    child.on('close', () => reject(new Error(`the server has ended: ${said()}`)))
  })
}

async function post(url: string, form: Record<string, string>) {
  const response = await fetch(url, { method: 'POST', body: new URLSearchParams(form) })
  return { status: response.status, body: await response.json() }
}
