import { spawn } from 'node:child_process'
import { connect } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { bareEnv } from './bare-env.ts'
import { localAddress } from './local-address.ts'
import { databasesAt, type Databases } from './postgres.ts'

/**
 * The process that the PostgreSQL of this run ends with: tap, which starts a process for each test file; or
 * the test file itself where it was started by hand. `TEST_RUNNER` names another, which runs test files by
 * hand.
 */
const runner = Number(
  process.env['TEST_RUNNER'] ?? (process.env['TAP_CHILD_ID'] ? process.ppid : process.pid),
)

const address = localAddress(`mintmark-test-postgres-${runner}`)

let shared: Promise<Databases> | undefined

/**
 * The one PostgreSQL of all test files of a run, started by the first that needs it. Its databases are
 * dropped some time after their file has ended. Who stops it, or changes what holds for all of it, needs a
 * `startPostgres` of its own.
 */
export function sharedPostgres(): Promise<Databases> {
  return (shared ??= findOrStart())
}

async function findOrStart(): Promise<Databases> {
  const port = await askPort()
  if (port !== undefined) return databasesAt(port)
  const holder = join(import.meta.dirname, 'postgres-holder.ts')
  // Its own session, and nothing of ours left open: it outlives this process.
  spawn(process.execPath, [holder, String(runner), address.replace('\0', '@')], {
    detached: true,
    stdio: 'ignore',
    env: bareEnv,
  }).unref()
  for (;;) {
    const port = await askPort()
    if (port !== undefined) return databasesAt(port)
    await sleep(20)
  }
}

/** Undefined while there is none. */
async function askPort(): Promise<number | undefined> {
  const socket = connect(address)
  let answer: string
  try {
    answer = await text(socket)
  } catch {
    return undefined
  }
  const { port, problem } = JSON.parse(answer)
  if (problem !== undefined) throw new Error(problem)
  return port
}
