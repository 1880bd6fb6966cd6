import pg from 'pg'
import { explain, PostgresUnavailable } from './postgres-errors.ts'
import { clientConfig, judgeServer, type PostgresOptions, type Timeline } from './postgres-session.ts'
import { describeHost, type PostgresHost, type PostgresUrl } from './postgres-url.ts'

/** Connections to the one server that takes writes, whichever of the URL's hosts that is at the moment. */
export interface Primary {
  /** A connection of the pool. Rejects with `PostgresUnavailable`. */
  connect(): Promise<pg.PoolClient>
  /**
   * Gives it back. One that has turned out dead casts doubt on its server: the next `connect` looks for the
   * primary.
   */
  release(client: pg.PoolClient, isDead: boolean): void
  /**
   * The number of the newest timeline that any host has shown; undefined where none tells, or none was asked
   * yet.
   */
  timeline(): number | undefined
  /** A connection of its own, that no pool counts. */
  connectAlone(): Promise<pg.Client>
  close(): Promise<void>
}

/**
 * Holds a pool of connections to the primary. node-postgres knows one host; with several, each is asked, and
 * of those that take writes the one with the newest timeline is taken: an old primary that comes back has an
 * older one. After a loss, the next `connect` finds the primary again and makes a new pool.
 */
export function openPrimary(url: PostgresUrl, options: PostgresOptions): Primary {
  const servers = openServers(url, options)
  const poolOf = new WeakMap<pg.PoolClient, Promise<pg.Pool>>()
  const ending = new Set<Promise<void>>()
  let current: Promise<pg.Pool> | undefined

  const openPool = async (): Promise<pg.Pool> => {
    const host = await servers.choose()
    const pool = new pg.Pool({
      ...servers.settings,
      ...host,
      max: options.poolSize,
      idleTimeoutMillis: 60_000,
      onConnect: client => servers.judge(client, host) as unknown as void, // awaited, whatever its type says
    })
    pool.on('error', () => {}) // an idle connection was cut: the pool has dropped it
    // One in use was cut: its statement fails. Without a listener the process would end.
    pool.on('connect', client => client.on('error', () => {}))
    return pool
  }

  const retire = (pool: Promise<pg.Pool>) => {
    if (current !== pool) return
    current = undefined
    const ended = pool.then(p => p.end()).catch(() => {})
    ending.add(ended)
    void ended.then(() => ending.delete(ended))
  }

  const connect = async (): Promise<pg.PoolClient> => {
    for (let attempt = 1; ; attempt++) {
      const pool = (current ??= openPool())
      try {
        const client = await (await pool).connect()
        poolOf.set(client, pool)
        return client
      } catch (error) {
        // Waiting for a connection that others hold says nothing about the server.
        const isFull = error instanceof Error && error.message === 'timeout exceeded when trying to connect'
        if (isFull)
          throw new PostgresUnavailable('all connections to PostgreSQL are in use', { cause: error })
        retire(pool)
        // With several hosts another may have been promoted since: ask them all once.
        if (attempt >= Math.min(2, url.hosts.length)) throw await explainFor(error, pool)
      }
    }
  }

  const explainFor = async (error: unknown, pool: Promise<pg.Pool>) => {
    if (error instanceof PostgresUnavailable) return error
    const { host = 'localhost', port = 5432 } = (await pool).options
    return explain(error, url, { host, port })
  }

  return {
    connect,
    release: (client, isDead) => {
      client.release(isDead)
      const pool = poolOf.get(client)
      if (isDead && pool) retire(pool)
    },
    timeline: servers.timeline,
    connectAlone: async () => (await servers.connect(await servers.choose())).client,
    close: async () => {
      if (current) retire(current)
      await Promise.all(ending)
    },
  }
}

/** The hosts of the URL, and the newest timeline that any of them has shown. */
function openServers(url: PostgresUrl, options: PostgresOptions) {
  const settings = clientConfig(url, options)
  let newest: Timeline | undefined

  /** Whether a server may be used: rejects if not. */
  const judge = async (client: pg.ClientBase, host: PostgresHost): Promise<Timeline | undefined> => {
    const timeline = await judgeServer(client, host, options)
    if (timeline && newest?.systemId === timeline.systemId && timeline.number < newest.number) {
      throw new PostgresUnavailable(
        `PostgreSQL at ${describeHost(host)} is an old primary: its timeline is ${timeline.number}, ` +
          `but ${newest.number} has begun since. Make it a standby of the new one`,
      )
    }
    newest = timeline ?? newest
    return timeline
  }

  const connect = async (host: PostgresHost) => {
    const client = new pg.Client({ ...settings, ...host })
    client.on('error', () => {}) // the statement that fails tells its caller
    try {
      await client.connect()
      return { client, timeline: await judge(client, host) }
    } catch (error) {
      await client.end().catch(() => {})
      throw explain(error, url, host)
    }
  }

  /** The host to use: with several, all are asked at once. */
  const choose = async (): Promise<PostgresHost> => {
    const [first] = url.hosts
    if (first && url.hosts.length === 1) return first
    const answers = await Promise.allSettled(
      url.hosts.map(async host => {
        const { client, timeline } = await connect(host)
        await client.end()
        return { host, number: timeline?.number ?? 0 }
      }),
    )
    const found = answers.flatMap(answer => (answer.status === 'fulfilled' ? [answer.value] : []))
    // The sort is stable: of equals, the first in the URL.
    const best = found.sort((a, b) => b.number - a.number)[0]
    if (best) return best.host
    const reasons = answers.flatMap(answer => (answer.status === 'rejected' ? [answer.reason as Error] : []))
    throw new PostgresUnavailable(reasons.map(reason => reason.message).join('; '))
  }

  return { settings, judge, connect, choose, timeline: () => newest?.number }
}
