import { readFileSync } from 'node:fs'
import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Context } from '../context.ts'
import { networks } from '../protocol/networks.ts'
import { networkOf } from './addresses.ts'
import { oncePerSecond } from './flood.ts'

/** More than any server of this kind has clients at once; each costs some ten kilobytes. */
const connectionsMax = 10_000

/** Files that are kept for the database, for what is looked up elsewhere, and for the process itself. */
const otherFiles = 100

/** What one source may have once half of all connections are taken, as a share of them all. */
const sourceShare = 0.1

/**
 * Bounds how many connections there are, so that there are always files left for the database, and how many of them
 * one source has: until half are taken nobody is limited, from then on each source to a tenth. Proxies that are
 * believed have as many as they like. Where there is no room left, connections that are idle make it.
 */
export function limitConnections(
  server: Server,
  { config, log }: Pick<Context, 'config' | 'log'>,
  max = Math.min(connectionsMax, filesMax() - otherFiles),
): void {
  const isProxy = networks(config.trustProxy)
  const bySource = new Map<string, number>()
  const isNews = oncePerSecond()
  let total = 0

  server.maxConnections = Math.max(1, max)
  server.on('connection', (socket: Socket) => {
    const address = socket.remoteAddress ?? ''
    const source = networkOf(address)
    const own = (bySource.get(source) ?? 0) + 1
    if (total >= max / 2 && own > max * sourceShare && !isProxy(address)) {
      if (isNews('source')) {
        const facts = { source, connections: own - 1, connections_of_all: total }
        log.warn(
          facts,
          'connections are refused, since one source has too many; if it is a proxy, MINTMARK_TRUST_PROXY',
        )
      }
      return void socket.destroy()
    }
    total++
    bySource.set(source, own)
    socket.once('close', () => {
      total--
      const left = (bySource.get(source) ?? 1) - 1
      if (left > 0) bySource.set(source, left)
      else bySource.delete(source)
    })
  })
  server.on('drop', () => {
    if (!isNews('drop')) return
    log.warn(
      { connections: total },
      'connections are refused, since there are too many; those that are idle are closed',
    )
    server.closeIdleConnections()
  })
}

/** How many files this process may have open; where the system does not tell, as many as it needs. */
function filesMax(): number {
  try {
    const limits = readFileSync('/proc/self/limits', 'utf8')
    return Number(/^Max open files +(\d+)/m.exec(limits)?.[1] ?? Infinity)
  } catch {
    return Infinity
  }
}
