import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { migrate } from '../../db/installation/migrate.ts'
import { openDatabase } from '../../db/open-database.ts'
import { migratedTemplate, startPostgres, type Cluster } from './postgres.ts'

/*
 * A process that holds the one PostgreSQL of a run of tests, and tells its port to each that connects to
 * `address`. It ends when the process `runner` has ended, also when that was killed. Who starts it and is not
 * the first is not needed.
 */
const [runner = '', argument = ''] = process.argv.slice(2)
// No argument can hold the zero that begins a name which is no file.
const address = argument.replace(/^@/, '\0')

const endings: (() => unknown)[] = []
const ending = { teardown: (work: () => unknown) => void endings.unshift(work) }
let started: Promise<Cluster> | undefined

const server = createServer(socket => {
  socket.on('error', () => {}) // a test that was ended while it waited
  void answer().then(text => socket.end(text))
})
server.on('error', () => process.exit()) // another was first
server.listen(address, () => void hold())

async function answer(): Promise<string> {
  try {
    return JSON.stringify({ port: (await started)?.port })
  } catch (error) {
    return JSON.stringify({ problem: String(error) })
  }
}

async function hold(): Promise<void> {
  started = start()
  started.catch(() => {}) // told to each that asks
  while (isAlive(Number(runner))) {
    await dropDatabases().catch(() => {}) // tried again in a moment
    await sleep(500)
  }
  server.close()
  await started.catch(() => {})
  for (const work of endings) await work()
}

async function start(): Promise<Cluster> {
  const cluster = await startPostgres(ending, {
    max_connections: 400,
    shared_buffers: '128MB',
    shared_preload_libraries: 'pg_stat_statements',
    'pg_stat_statements.max': 20_000,
  })
  // Once for all tests but those of migrations.
  await cluster.query(`create database ${migratedTemplate}`)
  const db = openDatabase({ engine: 'postgres', url: cluster.url(migratedTemplate) })
  await migrate(db, 0)
  await db.close()
  return cluster
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** Drops the databases of tests that have ended, which their names tell: no test waits for it. */
async function dropDatabases(): Promise<void> {
  const cluster = await started
  const rows = await cluster?.query("select datname from pg_database where datname like 'test%'")
  for (const name of (rows ?? []).map(({ datname }) => String(datname))) {
    if (!isAlive(Number(name.split('_')[1]))) await cluster?.query(`drop database ${name} with (force)`)
  }
}
