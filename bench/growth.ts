import { statSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { openDatabase } from '../db/open-database.ts'
import { newUuid } from '../src/protocol/secrets.ts'
import { connections, each, wandering } from './callers.ts'
import { load } from './load.ts'
import { startMintmark, type Mintmark } from './mintmark.ts'
import { machine, pinSelf } from './processes.ts'

/*
 * npm run bench:growth [-- --sessions N,N,…] [--seconds N] [--rounds N] [--out FILE]
 *
 * Whether a refresh costs more where there are more sessions, clients, resources and revocations. Sessions
 * are refreshed in random order from all over the file. The servers take turns, so that each round has the
 * same weather.
 */
const { values } = parseArgs({
  options: {
    sessions: { type: 'string', default: '10000,1000000' },
    seconds: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '5' },
    out: { type: 'string' },
  },
})
const sizes = values.sessions.split(',').map(Number)
const seconds = Number(values.seconds)
const rounds = Number(values.rounds)
const [smallest = 0] = sizes

interface Contender {
  readonly title: string
  readonly server: Mintmark
  readonly bytesASession: number
  readonly perSecond: number[]
  readonly cpuMicroseconds: number[]
}

pinSelf(1)
const contenders: Contender[] = []
try {
  for (const sessions of sizes) contenders.push(await contender(sessions))
  contenders.push(await contender(smallest, crowd))
  for (let round = 0; round < rounds; round++) {
    process.stderr.write(`round ${round + 1} of ${rounds}\n`)
    for (const each of contenders) await measure(each)
  }
  const results = contenders.map(summary)
  for (const { title, perSecond, ratio, cpuMicroseconds, bytesASession } of results) {
    process.stdout.write(
      `${title.padEnd(72)} ${perSecond.toFixed(0).padStart(7)} refreshes/s (${ratio.toFixed(2)})  ` +
        `${cpuMicroseconds.toFixed(1)} CPU µs  ${bytesASession.toFixed(0)} bytes a session\n`,
    )
  }
  if (values.out !== undefined) {
    writeFileSync(
      values.out,
      `${JSON.stringify({ machine: machine(), seconds, rounds, results }, null, 2)}\n`,
    )
  }
} finally {
  for (const { server } of contenders) await server.stop()
}

async function contender(sessions: number, fill?: (server: Mintmark) => Promise<string>): Promise<Contender> {
  const server = await startMintmark({ sessions, cpu: 0 })
  // The pages that the seeding left in the log beside the file belong to it.
  const bytes = statSync(server.databaseFile).size
  const more = fill ? `, ${await fill(server)}` : ''
  return {
    title: `${sessions.toLocaleString('en-US')} sessions${more}`,
    server,
    bytesASession: bytes / sessions,
    perSecond: [],
    cpuMicroseconds: [],
  }
}

async function measure({ server, perSecond, cpuMicroseconds }: Contender): Promise<void> {
  const callers = each(i => wandering(server.refreshTokens, i, connections))
  const before = server.cpuMicroseconds() ?? NaN
  const { requests, seconds: took } = await load(server.url, callers, seconds)
  perSecond.push(requests / took)
  cpuMicroseconds.push(((server.cpuMicroseconds() ?? NaN) - before) / requests)
}

function summary({ title, bytesASession, perSecond, cpuMicroseconds }: Contender) {
  const least = contenders[0]
  return {
    title,
    bytesASession,
    perSecond: median(perSecond),
    ratio: median(perSecond) / median(least?.perSecond ?? []),
    cpuMicroseconds: median(cpuMicroseconds),
  }
}

/** A thousand clients, a hundred resources, ten thousand revocations. */
async function crowd({ databaseFile }: Mintmark): Promise<string> {
  const { sql, close } = openDatabase({ engine: 'sqlite', file: databaseFile }, { isPatient: true })
  const client = await sql.selectFrom('clients').selectAll().executeTakeFirstOrThrow()
  const resource = await sql.selectFrom('resources').selectAll().executeTakeFirstOrThrow()
  const now = client.created_at
  const range = (length: number) => Array.from({ length }, (_, i) => i)
  for (const i of range(1000)) {
    await sql
      .insertInto('clients')
      .values({ ...client, id: `client-${i}` })
      .execute()
  }
  for (const i of range(100)) {
    await sql
      .insertInto('resources')
      .values({ ...resource, uri: `https://${i}.example` })
      .execute()
  }
  for (const i of range(100)) {
    const rows = range(100).map(j => ({
      session_id: newUuid(now),
      status_position: 100 * i + j,
      revoked_at: now,
    }))
    await sql.insertInto('revocations').values(rows).execute()
  }
  await close()
  return '1,000 clients, 100 resources, 10,000 revocations'
}

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? NaN
}
