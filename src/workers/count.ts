import { availableParallelism } from 'node:os'
import type { Config } from '../config/load.ts'

/** Connections to PostgreSQL that one worker needs at the least, beside the one that listens. */
const connectionsMin = 2

/** SQLite lets one write at a time: a second process gains less than it costs. */
const sqliteMax = 1

/**
 * How many processes share the work of one server: as many as MINTMARK_WORKERS says; by itself one for each
 * core but one, as far as the database gains by it. That one has the threads that hash, and maybe PostgreSQL.
 */
export function workersOf(
  { workers, databaseUrl, databasePoolSize }: Pick<Config, 'workers' | 'databaseUrl' | 'databasePoolSize'>,
  cores = availableParallelism(),
): number {
  if (workers !== 'auto') return workers
  const most = databaseUrl.engine === 'sqlite' ? sqliteMax : Math.floor(databasePoolSize / connectionsMin)
  return Math.max(1, Math.min(cores - 1, most))
}

/** The settings of one worker: its share of what is meant for the server as a whole. */
export function shareOf(config: Config, workers: number): Config {
  const databasePoolSize = Math.max(connectionsMin, Math.floor(config.databasePoolSize / workers))
  return { ...config, databasePoolSize }
}
