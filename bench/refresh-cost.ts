import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { sql } from 'kysely'
import { openDatabase } from '../db/open-database.ts'
import { makeRootKeyFile } from '../src/keys/root-key-file.ts'
import { readRootKeys } from '../src/keys/root-key.ts'
import { openRefreshToken, sealRefreshToken } from '../src/protocol/refresh-token.ts'
import { newUuid } from '../src/protocol/secrets.ts'
import { startPostgres, type Cluster } from '../test/postgres.ts'
import { load, type Caller } from './load.ts'
import { basic, startMintmark } from './mintmark.ts'
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
const issuer = 'http://127.0.0.1:9000'

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
  const directory = mkdtempSync(join(tmpdir(), 'mintmark-cost-'))
  ending.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const rootKeyFile = join(directory, 'root.key')
  makeRootKeyFile(rootKeyFile)
  const cluster = engine === 'postgres' ? await startPostgres(ending, durable) : undefined
  const file = join(directory, 'x.sqlite')
  const location = cluster
    ? ({ engine: 'postgres', url: cluster.url(await cluster.createDatabase()) } as const)
    : ({ engine: 'sqlite', file } as const)
  const server = await startMintmark({
    sessions: 1,
    cpu: 0,
    env: {
      MINTMARK_DATABASE_URL: cluster ? (location.url ?? '') : `sqlite:${file}`,
      MINTMARK_ROOT_KEY_FILE: rootKeyFile,
      MINTMARK_ISSUER: issuer,
    },
  })
  ending.teardown(() => server.stop())
  // The other core is PostgreSQL's and this process's.
  if (cluster) for (const pid of processesOf(cluster)) spawnSync('taskset', ['-cp', '1', String(pid)])

  const db = openDatabase(location, { isPatient: true })
  ending.teardown(() => db.close())
  const tokens = await multiply(db, rootKeyFile, server.refreshTokens[0] ?? '')
  if (cluster) {
    // Nothing of the making is left to be written; and the worst case for the log, which holds each page as a whole when it
    // is first changed after a checkpoint.
    await sql`vacuum analyze sessions`.execute(db.sql)
    await sql`checkpoint`.execute(db.sql)
  }
  const bytesASession = cluster ? (await tableBytes(db)) / sessions : statSync(file).size / sessions

  const figures: Record<string, unknown> = { bytes_a_session: Math.round(bytesASession) }
  for (const connections of [1, 16, 64]) {
    process.stderr.write(`${engine}, ${connections} at once: ${seconds} s\n`)
    const callers = Array.from({ length: connections }, (_, i) => wandering(tokens, i, connections))
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

/** Refreshes every so many of the sessions, in random order, each with the newest token it had. */
function wandering(tokens: string[], first: number, step: number): Caller {
  const headers = { 'content-type': 'application/x-www-form-urlencoded', authorization: basic }
  let at = 0
  return {
    next: () => {
      at = first + step * Math.floor((Math.random() * tokens.length) / step)
      if (at >= tokens.length) at = first
      const body = `grant_type=refresh_token&refresh_token=${tokens[at]}`
      return { method: 'POST', path: '/token', headers, body }
    },
    answered: (status, text) => {
      if (status !== 200) throw new Error(`/token answered ${status} ${text}`)
      tokens[at] = JSON.parse(text).refresh_token
    },
  }
}

/** Adds sessions like the one that is there, and returns their refresh tokens. */
async function multiply(
  db: ReturnType<typeof openDatabase>,
  rootKeyFile: string,
  refreshToken: string,
): Promise<string[]> {
  const { macKeyOf } = readRootKeys({ rootKeyFile, rootKeyIsMounted: true, issuer })
  const opened = openRefreshToken(macKeyOf, refreshToken)
  if (opened.kind !== 'genuine') throw new Error(`the first refresh token is ${opened.kind}`)
  const session = await db.sql.selectFrom('sessions').selectAll().executeTakeFirstOrThrow()
  const tokens: string[] = []
  while (tokens.length < sessions) {
    const rows = Array.from({ length: Math.min(1000, sessions - tokens.length) }, (_, i) => ({
      ...session,
      id: newUuid(session.auth_time),
      status_position: tokens.length + i,
    }))
    await db.sql.insertInto('sessions').values(rows).execute()
    tokens.push(...rows.map(({ id }) => sealRefreshToken(macKeyOf, { ...opened.token, sessionId: id })))
  }
  return tokens
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
