/**
 * Protects the files that the database needs from connections, and each source's connections from those of
 * another. One that is too many is closed before anything is read: there is no answer, and the log says why.
 */

import { readFileSync } from 'node:fs'
import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Config } from '../config/load.ts'
import type { Context } from '../context.ts'
import { ConfigError } from '../errors.ts'
import { oncePerSecond } from '../load/once-per-second.ts'
import { openSourceQuota } from '../load/source-quota.ts'
import { networkOf } from '../values/addresses.ts'
import { networks } from '../values/networks.ts'

/** More than any server of this kind has clients at once; each costs some ten kilobytes. */
const connectionsMax = 10_000

/** Files that are kept for what is looked up elsewhere, and for the process itself. */
const otherFiles = 92

/** With fewer, a proxy or two would have them all. */
const connectionsMin = 100

/** Of a listener for the admin API alone. */
export const adminConnectionsMax = 100

/**
 * Bounds how many connections there are, so that there are always files left for the database, and how many
 * of them one source has: until half are taken no source is limited, from then on each to a tenth. Proxies
 * that are believed have as many as they like. Where there is no room left, connections that are idle make
 * it.
 */
export function refuseExcessConnections(
  server: Server,
  { clock, config, log }: Pick<Context, 'clock' | 'config' | 'log'>,
  max = connectionsOf(config),
): void {
  const isProxy = networks(config.trustProxy)
  const quota = openSourceQuota(max)
  const isNews = oncePerSecond(clock)

  server.maxConnections = max
  server.on('connection', (socket: Socket) => {
    const address = socket.remoteAddress ?? ''
    const network = networkOf(address)
    const source = isProxy(address) ? undefined : network
    if (!quota.take(source)) {
      if (isNews('source')) {
        const facts = {
          source: network,
          connections: quota.taken(network),
          connections_of_all: quota.taken(),
        }
        log.warn(
          facts,
          'connections are refused, since one source has too many; if it is a proxy, MINTMARK_TRUST_PROXY',
        )
      }
      return void socket.destroy()
    }
    socket.once('close', () => quota.giveBack(source))
  })
  server.on('drop', () => {
    if (!isNews('drop')) return
    log.warn(
      { connections: quota.taken() },
      'connections are refused, since there are too many; those that are idle are closed',
    )
    server.closeIdleConnections()
  })
}

/** How many connections there may be; throws a `ConfigError` where the system allows for too few. */
function connectionsOf({ databasePoolSize, adminPort }: Config): number {
  const files = filesMax()
  const others = otherFiles + databasePoolSize + (adminPort === undefined ? 0 : adminConnectionsMax)
  if (files - others >= connectionsMin) return Math.min(connectionsMax, files - others)
  throw new ConfigError(
    `this process may open ${files} files, but needs ${others + connectionsMin} for ${connectionsMin} connections: ` +
      'raise the limit (`ulimit -n 65536`, LimitNOFILE= of systemd, ulimits of a container)',
  )
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
