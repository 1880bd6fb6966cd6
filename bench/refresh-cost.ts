import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { sql } from 'kysely'
import type { Database } from '../db/database.ts'
import { openDatabase } from '../db/open-database.ts'
import type { Cluster } from '../test/helpers/postgres.ts'
import { wandering } from './callers.ts'
import { load } from './load.ts'
import { startMintmark, type Mintmark } from './mintmark.ts'
import { cpuOf, processesOf, startMintmarkOnPostgres } from './postgres.ts'
import { machine, pinSelf } from './processes.ts'
import { writeScaling, type EngineCost, type RefreshCost } from './sizing.ts'

/*
 * npm run bench:cost [-- --sessions N] [--seconds N] [--out FILE] [--docs]
 *
 * Measures the cost of one refresh on both engines, everything durable: CPU of the server and of PostgreSQL,
 * statements and rows, and bytes of log; for SQLite the bytes that were written to disk, its log and its
 * file. The sessions are refreshed in random order, as their clients would. With --docs, the figures in
 * docs/scaling.md are written anew.
 */
const { values } = parseArgs({
  options: {
    sessions: { type: 'string', default: '100000' },
    seconds: { type: 'string', default: '10' },
    out: { type: 'string' },
    docs: { type: 'boolean', default: false },
  },
})
const sessions = Number(values.sessions)
const seconds = Number(values.seconds)

pinSelf(1)
const [busyBefore = 0] = loadavg()
const results: Record<string, EngineCost> = {}
for (const engine of ['sqlite', 'postgres'] as const) results[engine] = await measure(engine)
const report = { machine: machine(), sessions, seconds, results }
process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
if (values.docs && results['sqlite'] && results['postgres']) {
  writeScaling({ machine: machine(), busyBefore, sqlite: results['sqlite'], postgres: results['postgres'] })
}
if (values.out !== undefined) writeFileSync(values.out, `${JSON.stringify(report, null, 2)}\n`)

async function measure(engine: 'sqlite' | 'postgres'): Promise<EngineCost> {
  const onPostgres = engine === 'postgres' ? await startMintmarkOnPostgres({ sessions, cpu: 0 }) : undefined
  const server = onPostgres ?? (await startMintmark({ sessions, cpu: 0 }))
  const db = openDatabase(
    onPostgres
      ? { engine: 'postgres', url: onPostgres.databaseUrl }
      : { engine: 'sqlite', file: server.databaseFile },
    { isPatient: true },
  )
  try {
    return await measureServer(server, db, onPostgres?.cluster)
  } finally {
    await db.close()
    await server.stop()
  }
}

async function measureServer(
  server: Mintmark,
  db: Database,
  cluster: Cluster | undefined,
): Promise<EngineCost> {
  if (cluster) {
    // Nothing of the making is left to be written; and the worst case for the log, which holds each page as a
    // whole when it is first changed after a checkpoint.
    await sql`vacuum analyze sessions`.execute(db.sql)
    await sql`checkpoint`.execute(db.sql)
  }
  const bytesASession = cluster
    ? (await tableBytes(db)) / sessions
    : statSync(server.databaseFile).size / sessions

  const costs: Record<string, RefreshCost> = {}
  for (const connections of [1, 16, 64]) {
    process.stderr.write(`${cluster ? 'PostgreSQL' : 'SQLite'}, ${connections} at once: ${seconds} s\n`)
    const callers = Array.from({ length: connections }, (_, i) =>
      wandering(server.refreshTokens, i, connections),
    )
    await load(server.url, callers, 2)
    const before = { ...(await readStatistics()), ...measureUse() }
    const { requests, seconds: took, p50, p99 } = await load(server.url, callers, seconds)
    const after = { ...measureUse(), ...(await readStatistics()) }
    const each = (name: keyof typeof before) =>
      Math.round((1000 * (after[name] - before[name])) / requests) / 1000
    costs[connections] = {
      refreshes_a_second: Math.round(requests / took),
      p50_ms: Math.round(p50 * 100) / 100,
      p99_ms: Math.round(p99 * 100) / 100,
      server_cpu_us: each('serverCpu'),
      ...(cluster && {
        postgres_cpu_us: each('postgresCpu'),
        commits: each('commits'),
        rows_updated: each('rows'),
        hot_share: Math.round((1000 * (after.hot - before.hot)) / (after.rows - before.rows)) / 1000,
        log_bytes: each('logBytes'),
        full_page_images: each('images'),
      }),
      ...(!cluster && { disk_bytes: each('diskBytes') }),
    }
  }
  return { bytes_a_session: Math.round(bytesASession), at_once: costs }

  function measureUse() {
    return {
      serverCpu: server.cpuMicroseconds() ?? NaN,
      postgresCpu: (cluster ? processesOf(cluster) : []).reduce((sum, pid) => sum + cpuOf(pid), 0),
      diskBytes: diskBytesOf(server.pid),
    }
  }

  async function readStatistics() {
    if (!cluster) return { commits: 0, rows: 0, hot: 0, logBytes: 0, images: 0 }
    // PostgreSQL's processes tell what they did when they have been idle for ten seconds.
    await sleep(11_000)
    const { rows } = await sql<Record<string, number>>`select
      (select xact_commit from pg_stat_database where datname = current_database()) as commits,
      (select n_tup_upd from pg_stat_user_tables where relname = 'sessions') as rows,
      (select n_tup_hot_upd from pg_stat_user_tables where relname = 'sessions') as hot,
      pg_current_wal_insert_lsn() - '0/0'::pg_lsn as log_bytes,
      (select wal_fpi from pg_stat_wal) as images`.execute(db.sql)
    const number = (name: string) => Number(rows[0]?.[name] ?? 0)
    return {
      commits: number('commits'),
      rows: number('rows'),
      hot: number('hot'),
      logBytes: number('log_bytes'),
      images: number('images'),
    }
  }
}

async function tableBytes(db: Database): Promise<number> {
  const { rows } = await sql<{ bytes: number }>`select pg_total_relation_size('sessions') as bytes`.execute(
    db.sql,
  )
  return Number(rows[0]?.bytes)
}

function diskBytesOf(pid: number): number {
  try {
    return Number(/^write_bytes: (\d+)/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1] ?? 0)
  } catch {
    return 0
  }
}
