import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { createInterface } from 'node:readline'

export interface Child {
  readonly pid: number
  readonly url: string
  /** How long it took from its start to its first answer. */
  readonly firstAnswerMs: number
  /** The lines that it printed before it listened. */
  readonly said: readonly string[]
  /**
   * User and system time so far of all its processes, in microseconds; undefined where the system does not
   * tell.
   */
  cpuMicroseconds(): number | undefined
  /** Resident memory of all its processes in bytes; undefined where the system does not tell. */
  residentBytes(): number | undefined
  stop(): Promise<void>
}

const canPin = process.platform === 'linux' && spawnSync('taskset', ['-V']).status === 0

/**
 * Starts a server with this Node.js, on one core where the system allows, or where it may be on all. It says
 * its `port` in a line of JSON.
 */
export async function startChild(
  args: readonly string[],
  {
    cpu,
    env = {},
    nodeArgs = [],
  }: { cpu: number | undefined; env?: Record<string, string>; nodeArgs?: readonly string[] },
): Promise<Child> {
  const startedAt = performance.now()
  const pin = canPin && cpu !== undefined ? ['taskset', '-c', String(cpu)] : []
  const [command = '', ...rest] = [...pin, process.execPath, ...nodeArgs, ...args]
  const child = spawn(command, rest, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  const exited = once(child, 'exit')
  const said: string[] = []
  const port = await new Promise<number>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      createInterface(stream).on('line', line => {
        said.push(line)
        const match = /"port":(\d+)/.exec(line)
        if (match) resolve(Number(match[1]))
      })
    }
    child.on('exit', () => reject(new Error(`${args.join(' ')} ended:\n${said.join('\n')}`)))
  })
  const url = `http://127.0.0.1:${port}`
  await (await fetch(`${url}/health/ready`)).body?.cancel()
  return {
    pid: child.pid ?? 0,
    url,
    firstAnswerMs: performance.now() - startedAt,
    said,
    cpuMicroseconds: () => sumOf(withWorkers(child.pid), cpuMicrosecondsOf),
    residentBytes: () => sumOf(withWorkers(child.pid), residentBytesOf),
    stop: async () => {
      child.kill('SIGTERM')
      await exited
    },
  }
}

/** A process and those that it has started. */
function withWorkers(pid = 0): readonly number[] {
  const workers = readProc(`/proc/${pid}/task/${pid}/children`)?.trim().split(' ').filter(Boolean) ?? []
  return [pid, ...workers.map(Number)]
}

function sumOf(pids: readonly number[], figureOf: (pid: number) => number | undefined): number | undefined {
  const figures = pids.map(figureOf)
  return figures.reduce((sum, figure) => sum && figure && sum + figure)
}

function cpuMicrosecondsOf(pid: number): number | undefined {
  const fields = readProc(`/proc/${pid}/stat`)
    ?.replace(/^.*\) /, '')
    .split(' ')
  // In ticks of 10 ms, on every Linux that Node.js runs on.
  return fields && (Number(fields[11]) + Number(fields[12])) * 10_000
}

function residentBytesOf(pid: number): number | undefined {
  const kibibytes = /VmRSS:\s+(\d+)/.exec(readProc(`/proc/${pid}/status`) ?? '')?.[1]
  return kibibytes === undefined ? undefined : Number(kibibytes) * 1024
}

/** Leaves this process on another core than the servers'. */
export function pinSelf(cpu: number): void {
  if (canPin) spawnSync('taskset', ['-cp', String(cpu), String(process.pid)])
}

function readProc(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}

/** The machine and the day of a measurement. */
export function machine() {
  return {
    cpu: cpus()[0]?.model,
    cores: cpus().length,
    node: process.version,
    at: new Date().toISOString(),
  }
}
