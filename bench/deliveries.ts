import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { findClient } from '../db/clients/clients.ts'
import type { Database } from '../db/database.ts'
import { openDatabase } from '../db/open-database.ts'
import { loadConfig } from '../src/config/load.ts'
import { newUuid } from '../src/protocol/secrets.ts'
import { clientId, startMintmark, webClientId } from './mintmark.ts'
import { startMintmarkOnPostgres } from './postgres.ts'
import { pinSelf } from './processes.ts'

/*
 * npm run bench:deliveries [-- --sessions N] [--engine postgres]
 *
 * An administrator ends so many sessions, each of another user. Their client is told of each by a logout
 * token; then so is the receiver of a stream of security events, of as many others: how many a second either
 * one has acknowledged, from the first to the last, and what each took of the server's core.
 */
const { values } = parseArgs({
  options: { sessions: { type: 'string', default: '10000' }, engine: { type: 'string', default: 'sqlite' } },
})
const sessions = Number(values.sessions)
/** So many rows go into one statement. */
const atOnce = 500

pinSelf(1)
const start = values.engine === 'postgres' ? startMintmarkOnPostgres : startMintmark
const server = await start({ sessions: 1, cpu: 0, env: { MINTMARK_DELIVERY_NETWORKS: '127.0.0.0/8' } })
const db = openDatabase(loadConfig(server.settings, '.').databaseUrl, { isPatient: true })
const receiver = await startReceiver()
try {
  await addSessions(db, webClientId)
  await command(`client update ${webClientId} --back-channel-logout-uri ${receiver.url}/logouts`)
  await measure('logout tokens', webClientId, '/logouts')
  await addSessions(db, clientId)
  await command(`stream create --client ${clientId} --push ${receiver.url}/signals`)
  await measure('security events', clientId, '/signals')
} finally {
  receiver.close()
  await db.close()
  await server.stop()
}

/** Takes whatever it is sent, and notes when. */
async function startReceiver() {
  const takenAt: Record<string, number[]> = { '/logouts': [], '/signals': [] }
  const listener = createServer((request, response) => {
    request.resume().once('end', () => {
      takenAt[request.url ?? '']?.push(performance.now())
      response.writeHead(request.url === '/signals' ? 202 : 200).end()
    })
  }).listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const { port } = listener.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    takenAt: (path: string): readonly number[] => takenAt[path] ?? [],
    close: () => listener.close(),
  }
}

async function measure(what: string, client: string, path: string): Promise<void> {
  const cpuBefore = server.cpuMicroseconds() ?? NaN
  const beganAt = performance.now()
  await command(`session revoke --client ${client} --older-than 1h --yes`)
  const ended = performance.now() - beganAt
  const taken = receiver.takenAt(path)
  for (let last = -1; taken.length < sessions && taken.length !== last; await sleep(5000)) last = taken.length
  if (taken.length !== sessions) throw new Error(`${taken.length} of ${sessions} ${what} came`)
  const cpu = ((server.cpuMicroseconds() ?? NaN) - cpuBefore) / sessions
  const [first = NaN, last = NaN] = [taken[0], taken.at(-1)]
  process.stdout.write(
    `${what}: ${Math.round((sessions - 1) / ((last - first) / 1000))} a second, ` +
      `${cpu.toFixed(0)} CPU µs each; the last ${((last - beganAt) / 1000).toFixed(1)} s after the command ` +
      `began that ended ${sessions} sessions in ${(ended / 1000).toFixed(1)} s\n`,
  )
}

/** Users like the one that is there, each with a session like its own that began two hours ago. */
async function addSessions(db: Database, client: string): Promise<void> {
  const { sql } = db
  const { epoch: client_epoch = 0 } = (await findClient(db, client)) ?? {}
  const user = await sql.selectFrom('users').selectAll().executeTakeFirstOrThrow()
  const session = await sql.selectFrom('sessions').selectAll().executeTakeFirstOrThrow()
  const auth_time = Math.floor(Date.now() / 1000) - 7200
  for (let added = 0; added < sessions; added += atOnce) {
    const users = Array.from({ length: Math.min(atOnce, sessions - added) }, (_, i) => ({
      ...user,
      id: newUuid(auth_time),
      username: `${client}-${added + i}`,
    }))
    const theirs = users.map(({ id: user_id }, i) => ({
      ...session,
      id: newUuid(auth_time),
      user_id,
      client_id: client,
      client_epoch,
      scope: `openid ${session.scope}`,
      auth_time,
      revoked_at: null,
      revoke_reason: null,
      status_position: added + i,
    }))
    await sql.insertInto('users').values(users).execute()
    await sql.insertInto('sessions').values(theirs).execute()
    const indexed = theirs.map(({ id: session_id, client_id, resource }) => ({
      session_id,
      client_id,
      resource,
    }))
    // The server may have found them first.
    await sql
      .insertInto('session_index')
      .values(indexed)
      .onConflict(conflict => conflict.doNothing())
      .execute()
  }
}

async function command(line: string): Promise<void> {
  const child = spawn(process.execPath, ['dist/main.js', ...line.split(' ')], {
    env: { PATH: process.env['PATH'], ...server.settings },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const [said, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')])
  if (code !== 0) throw new Error(`${line} has failed: ${said}`)
}
