// Loaded into the server before its own code. Says over a socket which of its code one request executed.
import { rmSync } from 'node:fs'
import { Session, type Profiler } from 'node:inspector'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import type { RecordedRequest } from './recorded.ts'

const { STRUCTURE_OF: checkout = '', STRUCTURE_SOCKET: socketPath = '' } = process.env
const root = `${pathToFileURL(checkout).href}/`

const session = new Session()
session.connect()
session.post('Profiler.enable')
session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true })

/**
 * Code of src/ and db/ that has run since the last time. The inspector of the same thread answers at once.
 */
function takeCoverage(): Profiler.ScriptCoverage[] {
  let taken: Profiler.ScriptCoverage[] = []
  session.post('Profiler.takePreciseCoverage', (error, { result }) => {
    if (error) throw error
    taken = result.filter(({ url }) => url.startsWith(`${root}src/`) || url.startsWith(`${root}db/`))
  })
  return taken.map(script => ({ ...script, url: script.url.slice(root.length) }))
}

let isRecording = false
let beforeRow: RecordedRequest['beforeRow']

/** The file of db/ whose statement runs: the nearest caller that is not one of the engines. */
function callerInDatabase(): string | undefined {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 50
  const files = (new Error().stack ?? '').matchAll(/file:\/\/[^\s):]*/g)
  Error.stackTraceLimit = stackTraceLimit
  for (const [url] of files) {
    const path = url.startsWith(root) ? url.slice(root.length) : ''
    if (path.startsWith('db/') && !path.startsWith('db/engines/')) return path
  }
  return undefined
}

interface Statement {
  readonly source: string
}

/** Marks the moment when the first statement about sessions runs. */
function watchStatements(): void {
  const Database = createRequire(join(checkout, 'package.json'))('better-sqlite3')
  const memory = new Database(':memory:')
  const statements = Object.getPrototypeOf(memory.prepare('select 1'))
  memory.close()
  for (const name of ['run', 'get', 'all']) {
    const original = statements[name] as (...parameters: unknown[]) => unknown
    statements[name] = function (this: Statement, ...parameters: unknown[]) {
      if (isRecording && !beforeRow && /\bsessions\b/.test(this.source)) {
        beforeRow = { scripts: takeCoverage(), file: callerInDatabase() }
      }
      return original.apply(this, parameters)
    }
  }
}

/** Timers that became due while a request is recorded. */
const due: (() => void)[] = []

/**
 * Holds repeated jobs back while a request is recorded. Timers that a request itself waits for are shorter.
 */
function holdJobs(): void {
  const shortestJobMilliseconds = 50
  const { setTimeout } = globalThis
  const held = (work: (...given: unknown[]) => void, milliseconds = 0, ...given: unknown[]) =>
    setTimeout(() => {
      if (isRecording && milliseconds >= shortestJobMilliseconds) due.push(() => work(...given))
      else work(...given)
    }, milliseconds)
  globalThis.setTimeout = Object.assign(held, setTimeout)
}

watchStatements()
holdJobs()
rmSync(socketPath, { force: true })
createServer(socket => {
  createInterface(socket).on('line', line => {
    if (line === 'begin') {
      takeCoverage()
      beforeRow = undefined
      isRecording = true
      socket.write('{}\n')
    } else {
      isRecording = false
      const recorded: RecordedRequest = { beforeRow, afterRow: takeCoverage() }
      socket.write(`${JSON.stringify(recorded)}\n`)
      for (const work of due.splice(0)) work()
    }
  })
})
  .listen(socketPath)
  .unref()
