import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { sql } from 'kysely'
import { findClient, insertClient } from '../db/clients/clients.ts'
import type { Database } from '../db/database.ts'
import { openDatabase } from '../db/open-database.ts'
import { headers, refreshing } from './callers.ts'
import { load, type Caller } from './load.ts'
import { clientId, password, startMintmark, username } from './mintmark.ts'
import { pinSelf } from './processes.ts'

/*
 * npm run bench:revoke-million [-- --sessions N]
 *
 * Ends a million living sessions with `mintmark session revoke`, by age, by client and all of them, while
 * other sessions are refreshed at a fixed rate: how long a refresh takes before and at that time, how much
 * memory the server and the command need, and whether a work that is interrupted can be run again. It fails
 * when any session lives afterwards.
 */
const { values } = parseArgs({
  options: {
    sessions: { type: 'string', default: '1000000' },
    rate: { type: 'string', default: '100' },
    seconds: { type: 'string', default: '10' },
  },
})
const total = Number(values.sessions)
const rate = Number(values.rate)
const connections = 16

pinSelf(1)
// The command has the same, whatever the port.
const env = { MINTMARK_ISSUER: 'http://127.0.0.1:9000' }
const server = await startMintmark({ sessions: connections, cpu: 0, env })
const home = dirname(dirname(server.databaseFile))
const db = openDatabase({ engine: 'sqlite', file: server.databaseFile }, { isPatient: true })
const lines: string[] = []
try {
  const [old, bulk, rest] = [Math.floor(total * 0.3), Math.floor(total * 0.4), Math.ceil(total * 0.3)]
  await addClient('bulk')
  await addClient('rest')
  await addSessions('bulk', old, 2 * 86_400)
  await addSessions('bulk', bulk, 0)
  await addSessions('rest', rest, 0)

  let callers = server.refreshTokens.map(refreshing)
  say('nothing else', (await load(server.url, callers, Number(values.seconds), rate)).latencies)
  for (const [title, args, count] of [
    ['--client --older-than', ['--client', 'bulk', '--older-than', '1d'], old],
    ['--client', ['--client', 'bulk'], bulk],
  ] as const) {
    await measure(`${title}, interrupted`, [...args], callers, 3000)
    await measure(`${title}, run again`, [...args], callers)
    process.stdout.write(
      `${count.toLocaleString('en-US')} sessions: ${await livingOf('bulk')} of bulk live\n`,
    )
  }
  const epoch = (await findClient(db, clientId))?.epoch
  await measure('--all', ['--all'], async () => {
    while ((await findClient(db, clientId))?.epoch === epoch) await sleep(50)
    // Everybody logs in again.
    callers = (await Promise.all(Array.from({ length: connections }, logIn))).map(refreshing)
    return callers
  })
  const left = (await livingOf('bulk')) + (await livingOf('rest'))
  if (left > 0) throw new Error(`${left} sessions still live`)
  say('nothing else, afterwards', (await load(server.url, callers, Number(values.seconds), rate)).latencies)
  process.stdout.write(`\n${lines.join('\n')}\n`)
} finally {
  await db.close()
  await server.stop()
}

/** Runs the command, or interrupts it after so many milliseconds, while `callers` refresh. */
async function measure(
  title: string,
  args: string[],
  callers: readonly Caller[] | (() => Promise<readonly Caller[]>),
  interruptMs?: number,
): Promise<void> {
  process.stderr.write(`mintmark session revoke ${args.join(' ')}\n`)
  const startedAt = performance.now()
  const child = spawn(process.execPath, ['dist/main.js', 'session', 'revoke', ...args, '--yes'], {
    env: { ...process.env, ...env, MINTMARK_HOME: home },
    stdio: ['ignore', 'inherit', 'pipe'],
  })
  // Its progress, without the lines of the log, which name each session.
  createInterface(child.stderr).on('line', line => {
    if (!line.startsWith('{')) process.stderr.write(`${line}\n`)
  })
  const ended = once(child, 'exit')
  const memory = { server: 0, command: 0 }
  const watch = setInterval(() => {
    memory.server = Math.max(memory.server, (server.residentBytes() ?? 0) / 2 ** 20)
    memory.command = Math.max(memory.command, residentMebibytes(child.pid))
  }, 200)
  const interrupt =
    interruptMs === undefined ? undefined : setTimeout(() => child.kill('SIGINT'), interruptMs)
  const latencies: number[] = []
  const busy = typeof callers === 'function' ? await callers() : callers
  while (child.exitCode === null && child.signalCode === null) {
    latencies.push(...(await load(server.url, busy, 1, rate)).latencies)
  }
  await ended
  clearInterval(watch)
  clearTimeout(interrupt)
  const seconds = (performance.now() - startedAt) / 1000
  say(title, latencies, { seconds, ...memory })
  if (child.exitCode !== 0 && interrupt === undefined) {
    throw new Error(`it ended with ${child.exitCode ?? child.signalCode}`)
  }
}

function say(
  title: string,
  latencies: readonly number[],
  more?: { readonly seconds: number; readonly server: number; readonly command: number },
): void {
  const sorted = latencies.toSorted((a, b) => a - b)
  const at = (share: number) => sorted[Math.floor(sorted.length * share)] ?? NaN
  const figures = `${String(sorted.length).padStart(6)} refreshes: p50 ${at(0.5).toFixed(1)} ms, p95 ${at(0.95).toFixed(1)} ms, worst ${(sorted.at(-1) ?? NaN).toFixed(0)} ms`
  const work = more
    ? `; ${more.seconds.toFixed(0)} s, server ${more.server.toFixed(0)} MiB, command ${more.command.toFixed(0)} MiB`
    : ''
  lines.push(`${title.padEnd(36)} ${figures}${work}`)
  process.stderr.write(`${lines.at(-1)}\n`)
}

async function addClient(id: string): Promise<void> {
  const like = await findClient(db, clientId)
  if (!like) throw new Error('unreachable: the server was seeded with it')
  await insertClient(db, { ...like, id })
}

/**
 * Like those that there are, made by the database itself; ids of one millisecond each, as log-ins would have
 * them.
 */
async function addSessions(client: string, count: number, ageSeconds: number): Promise<void> {
  const epoch = (await findClient(db, client))?.epoch
  const step = 100_000
  for (let done = 0; done < count; done += step) {
    const size = Math.min(step, count - done)
    const firstMs = (Math.floor(Date.now() / 1000) - ageSeconds) * 1000 - count + done
    await insertLike(db, { client, epoch, size, firstMs, ageSeconds })
    process.stderr.write(`${(done + size).toLocaleString('en-US')} sessions of ${client}\n`)
    await sleep(20)
  }
}

async function insertLike(
  { sql: database }: Database,
  one: { client: string; epoch: number | undefined; size: number; firstMs: number; ageSeconds: number },
): Promise<void> {
  const like = await database
    .selectFrom('sessions')
    .selectAll()
    .where('client_id', '=', clientId)
    .limit(1)
    .executeTakeFirstOrThrow()
  const row = {
    ...like,
    client_id: one.client,
    client_epoch: one.epoch,
    auth_time: like.auth_time - one.ageSeconds,
  }
  const columns = Object.entries(row).filter(([name]) => name !== 'id' && name !== 'status_position')
  await sql`insert into sessions (id, status_position, ${sql.join(columns.map(([name]) => sql.ref(name)))})
    with recursive numbers(n) as (select 0 union all select n + 1 from numbers where n < ${sql.lit(one.size - 1)})
    select
      unhex(printf('%012x', ${sql.lit(one.firstMs)} + n) || '7000' || '8' || substr(hex(randomblob(8)), 1, 15)),
      n, ${sql.join(columns.map(([, value]) => sql`${value}`))}
    from numbers`.execute(database)
}

async function livingOf(client: string): Promise<number> {
  const { count } = await db.sql
    .selectFrom('sessions')
    .innerJoin('clients', 'clients.id', 'sessions.client_id')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .where('client_id', '=', client)
    .where('revoked_at', 'is', null)
    .whereRef('client_epoch', '=', 'clients.epoch')
    .executeTakeFirstOrThrow()
  return count
}

async function logIn(): Promise<string> {
  const body = new URLSearchParams({ grant_type: 'password', username, password })
  for (;;) {
    const response = await fetch(`${server.url}/token`, { method: 'POST', headers, body: body.toString() })
    const answer = (await response.json()) as { refresh_token?: string }
    if (answer.refresh_token !== undefined) return answer.refresh_token
    if (response.status !== 503) throw new Error(`a log-in was answered with ${response.status}`)
    await sleep(200) // the server is to hear of the new epoch first
  }
}

function residentMebibytes(pid: number | undefined): number {
  try {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024
  } catch {
    return 0
  }
}
