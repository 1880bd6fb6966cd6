import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { startPostgres, type Cluster, type Ending } from '../test/helpers/postgres.ts'
import { startMintmark, type Mintmark, type MintmarkOptions } from './mintmark.ts'

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

export interface MintmarkOnPostgres extends Mintmark {
  readonly cluster: Cluster
  /** The URL of its database. */
  readonly databaseUrl: string
}

/** Mintmark with a PostgreSQL of its own, which is on the other core. */
export async function startMintmarkOnPostgres(options: MintmarkOptions): Promise<MintmarkOnPostgres> {
  const endings: (() => unknown)[] = []
  const ending: Ending = { teardown: work => void endings.unshift(work) }
  const end = async () => {
    for (const work of endings) await work()
  }
  try {
    const cluster = await startPostgres(ending, durable)
    const databaseUrl = cluster.url(await cluster.createDatabase())
    const server = await startMintmark({
      ...options,
      env: { ...options.env, MINTMARK_DATABASE_URL: databaseUrl },
    })
    ending.teardown(server.stop)
    for (const pid of processesOf(cluster)) spawnSync('taskset', ['-cp', '1', String(pid)])
    return { ...server, cluster, databaseUrl, stop: end }
  } catch (error) {
    await end()
    throw error
  }
}

/** The process ids of the postmaster and its children. */
export function processesOf({ pid }: Cluster): number[] {
  const parent = pid()
  const children = readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(Number)
    .filter(child => statFields(child)[1] === String(parent))
  return [...(parent === undefined ? [] : [parent]), ...children]
}

/** User and system time so far, in microseconds. */
export function cpuOf(pid: number): number {
  const fields = statFields(pid)
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) * 10_000
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
