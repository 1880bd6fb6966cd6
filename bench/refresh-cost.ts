import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { sql } from 'kysely'
import { openDatabase } from '../db/open-database.ts'
import { startPostgres, type Cluster } from '../test/postgres.ts'
import { wandering } from './callers.ts'
import { load } from './load.ts'
import { startMintmark } from './mintmark.ts'
import { pinSelf } from './processes.ts'

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

const endings: (() => unknown)[] = []
const ending = { teardown: (work: () => unknown) => void endings.unshift(work) }

/** As a careful administrator would have it. */
const durable = {
  fsync: 'on',
  full_page_writes: 'on',
  synchronous_commit: 'on',
  autovacuum: 'on',
  shared_buffers: '512MB',
  max_wal_size: '4GB',
  checkpoint_timeout: '15min',
}

pinSelf(1)
const results: Record<string, unknown> = {}
for (const engine of ['sqlite', 'postgres'] as const) {
  try {
    results[engine] = await measure(engine)
  } finally {
    for (let end = endings.shift(); end; end = endings.shift()) await end()
  }
}
const machine = {
  cpu: cpus()[0]?.model,
  cores: cpus().length,
  node: process.version,
  at: new Date().toISOString(),
}
const report = { machine, sessions, seconds, results }
process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
if (values.out !== undefined) writeFileSync(values.out, `${JSON.stringify(report, null, 2)}\n`)

async function measure(engine: 'sqlite' | 'postgres'): Promise<unknown> {
  const cluster = engine === 'postgres' ? await startPostgres(ending, durable) : undefined
  const url = cluster?.url(await cluster.createDatabase())
  const server = await startMintmark({
    sessions,
    cpu: 0,
    env: url === undefined ? {} : { MINTMARK_DATABASE_URL: url },
  })
  ending.teardown(() => server.stop())
  // The other core is PostgreSQL's and this process's.
  if (cluster) for (const pid of processesOf(cluster)) spawnSync('taskset', ['-cp', '1', String(pid)])
  const location =
    url === undefined
      ? ({ engine: 'sqlite', file: server.databaseFile } as const)
      : ({ engine: 'postgres', url } as const)
  const db = openDatabase(location, { isPatient: true })
  ending.teardown(() => db.close())
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
    process.stderr.write(`${engine}, ${connections} at once: ${seconds} s\n`)
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

async function tableBytes(db: ReturnType<typeof openDatabase>): Promise<number> {
  const { rows } = await sql<{ bytes: number }>`select pg_total_relation_size('sessions') as bytes`.execute(
    db.sql,
  )
  return Number(rows[0]?.bytes)
}

/** The postmaster and its children. */
function processesOf({ pid }: Cluster): number[] {
  const parent = pid()
  const children = readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(Number)
    .filter(child => statFields(child)[1] === String(parent))
  return [...(parent === undefined ? [] : [parent]), ...children]
}

/** The fields of /proc/PID/stat after the name: state, parent, …; none once the process has ended. */
function statFields(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ')
  } catch {
    return []
  }
}

function cpuOf(pid: number): number {
  const fields = statFields(pid)
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) * 10_000
}

function diskBytesOf(pid: number): number {
  try {
    return Number(/^write_bytes: (\d+)/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1] ?? 0)
  } catch {
    return 0
  }
}
