import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { sql } from 'kysely'
import type { Database } from '../db/database.ts'
import { openDatabase } from '../db/open-database.ts'
import type { Cluster } from '../test/postgres.ts'
import { wandering } from './callers.ts'
import { load } from './load.ts'
import { startMintmark, type Mintmark } from './mintmark.ts'
import { cpuOf, processesOf, startMintmarkOnPostgres } from './postgres.ts'
import { machine, pinSelf } from './processes.ts'

/*
 * npm run bench:cost [-- --sessions N] [--seconds N] [--out FILE]
 *
 * What one refresh costs on both engines, everything durable: CPU of the server and of PostgreSQL, statements and rows,
 * and bytes of log; for SQLite the bytes that were written to disk, its log and its file. The sessions are refreshed in random order, as their clients would.
 */
const { values } = parseArgs({
  options: {
    sessions: { type: 'string', default: '100000' },
    seconds: { type: 'string', default: '10' },
    out: { type: 'string' },
  },
})
const sessions = Number(values.sessions)
const seconds = Number(values.seconds)

pinSelf(1)
const results: Record<string, unknown> = {}
for (const engine of ['sqlite', 'postgres'] as const) results[engine] = await measure(engine)
const report = { machine: machine(), sessions, seconds, results }
process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
if (values.out !== undefined) writeFileSync(values.out, `${JSON.stringify(report, null, 2)}\n`)

async function measure(engine: 'sqlite' | 'postgres'): Promise<unknown> {
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

async function measureServer(server: Mintmark, db: Database, cluster: Cluster | undefined): Promise<unknown> {
  if (cluster) {
    // Nothing of the making is left to be written; and the worst case for the log, which holds each page as a whole when it
    // is first changed after a checkpoint.
    await sql`vacuum analyze sessions`.execute(db.sql)
    await sql`checkpoint`.execute(db.sql)
  }
  const bytesASession = cluster
    ? (await tableBytes(db)) / sessions
    : statSync(server.databaseFile).size / sessions

  const figures: Record<string, unknown> = { bytes_a_session: Math.round(bytesASession) }
  for (const connections of [1, 16, 64]) {
    process.stderr.write(`${cluster ? 'PostgreSQL' : 'SQLite'}, ${connections} at once: ${seconds} s\n`)
    const callers = Array.from({ length: connections }, (_, i) =>
      wandering(server.refreshTokens, i, connections),
    )
    await load(server.url, callers, 2)
    const before = await counters()
    const { requests, seconds: took, p50, p99 } = await load(server.url, callers, seconds)
    const after = await counters()
    const each = (name: keyof typeof before) =>
      Math.round((10 * (after[name] - before[name])) / requests) / 10
    figures[`${connections}_at_once`] = {
      refreshes_a_second: Math.round(requests / took),
      p50_ms: Math.round(p50 * 100) / 100,
      p99_ms: Math.round(p99 * 100) / 100,
      server_cpu_us: each('serverCpu'),
      ...(cluster && {
        postgres_cpu_us: each('postgresCpu'),
        commits: each('commits'),
        rows_updated: each('rows'),
        hot_share: (after.hot - before.hot) / (after.rows - before.rows),
        log_bytes: each('logBytes'),
        full_page_images: each('images'),
      }),
      ...(!cluster && { disk_bytes: each('diskBytes') }),
    }
  }
  return figures

  async function counters() {
    const pids = cluster ? processesOf(cluster) : []
    const row = cluster ? await statistics() : {}
    const number = (name: string) => Number((row as Record<string, unknown>)[name] ?? 0)
    return {
      serverCpu: server.cpuMicroseconds() ?? NaN,
      postgresCpu: pids.reduce((sum, pid) => sum + cpuOf(pid), 0),
      commits: number('commits'),
      rows: number('rows'),
      hot: number('hot'),
      logBytes: number('log_bytes'),
      images: number('images'),
      diskBytes: diskBytesOf(server.pid),
    }
  }

  async function statistics() {
    await sql`select pg_stat_force_next_flush()`.execute(db.sql)
    const { rows } = await sql<Record<string, number>>`select
      (select xact_commit from pg_stat_database where datname = current_database()) as commits,
      (select n_tup_upd from pg_stat_user_tables where relname = 'sessions') as rows,
      (select n_tup_hot_upd from pg_stat_user_tables where relname = 'sessions') as hot,
      pg_current_wal_insert_lsn() - '0/0'::pg_lsn as log_bytes,
      (select wal_fpi from pg_stat_wal) as images`.execute(db.sql)
    return rows[0] ?? {}
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
