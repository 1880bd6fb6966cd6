import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { buildApp } from './app.ts'
import { openAuditTrail } from './audit-trail.ts'
import { openClientKeys } from './clients/client-keys.ts'
import type { Config } from './config.ts'
import type { Context } from './context.ts'
import { openCounts } from './counts.ts'
import { openBrake } from './http/flood.ts'
import { openPressure } from './http/pressure.ts'
import { openInstallation, type Installation } from './installation.ts'
import { startJobs } from './jobs.ts'
import { unheededPolicy } from './keys/key-policy.ts'
import { openKeyRing } from './keys/key-ring.ts'
import { openPasswords } from './log-ins/passwords.ts'
import { openThrottle } from './log-ins/throttle.ts'
import { networks } from './protocol/networks.ts'
import { openRegistry } from './registry.ts'
import { reviveByHand } from './revocation/revived-backup.ts'
import { openStatusLists } from './revocation/status-lists.ts'
import { openStatusPositions } from './revocation/status-positions.ts'
import { openLateness } from './sessions/lateness.ts'
import { openStanding, type Standing } from './standing.ts'

export interface Server {
  readonly ctx: Context
  readonly app: FastifyInstance
  /** Where it listens. */
  readonly url: string
  /** Answers what is in flight, takes no new connections, and closes the database. */
  close(): Promise<void>
}

/** Opens everything, makes or migrates the database, and listens. */
export async function startServer(
  config: Config,
  now: () => number,
  log: FastifyBaseLogger,
): Promise<Server> {
  const installation = await openInstallation(config, now, { mayCreate: true })
  try {
    const standing = openStanding({ db: installation.db, now, log })
    await standing.follow()
    await reviveByHand(installation.db, installation.record, { now: standing.now, log })
    const unheeded = unheededPolicy(config.keyPolicySet, installation.record)
    if (unheeded) log.warn(`${unheeded.text}: ${unheeded.advice}`)
    const ctx = await openContext(config, installation, standing, log)
    const app = buildApp(ctx)
    const stopJobs = startJobs(ctx)
    try {
      await app.listen({ host: config.host, port: config.port })
    } catch (error) {
      await stopJobs()
      throw error
    }
    log.info({ issuer: config.issuer, ...(app.server.address() as AddressInfo) }, 'serving')
    return {
      ctx,
      app,
      url: urlOf(app.server.address() as AddressInfo),
      close: async () => {
        await app.close()
        await stopJobs()
        await installation.db.close()
      },
    }
  } catch (error) {
    await installation.db.close()
    throw error
  }
}

/** Serves until SIGTERM or SIGINT, and closes then. A second signal ends the process at once. */
export async function untilSignal({ ctx, close }: Server): Promise<void> {
  const ended = new AbortController()
  const [signal] = await Promise.race(
    ['SIGTERM', 'SIGINT'].map(name => once(process, name, { signal: ended.signal }).then(() => [name])),
  )
  ended.abort()
  ctx.log.info({ signal }, 'closing: requests in flight are answered, new connections are not taken')
  await close()
  ctx.log.info('closed')
}

/** How long a client's key set may take to arrive. */
const jwksMilliseconds = 3000

/** Everything that an endpoint depends on. `steady` is a clock in seconds that nobody sets. */
export async function openContext(
  config: Config,
  { db, rootKeys }: Installation,
  standing: Standing,
  log: FastifyBaseLogger,
  steady = () => performance.now() / 1000,
): Promise<Context> {
  const { now } = standing
  const keys = await openKeyRing({ db, rootKeys, now, steady, log })
  const registry = openRegistry(db)
  const counts = openCounts()
  return {
    config,
    db,
    rootKeys,
    keys,
    registry,
    clientKeys: openClientKeys(
      { isAllowed: networks(config.jwksUriNetworks), milliseconds: jwksMilliseconds },
      steady,
      log,
    ),
    passwords: openPasswords({ pepperOf: rootKeys.pepperOf, currentRootKeyId: () => rootKeys.currentId }),
    lateness: openLateness(steady),
    pressure: openPressure(),
    brake: openBrake(),
    nextStatusPosition: openStatusPositions(db),
    statusLists: openStatusLists({ config, db, keys, registry, counts, now }),
    standing,
    throttle: openThrottle({ db, rootKeys, now }),
    audit: openAuditTrail(db, now),
    counts,
    now,
    log,
  }
}

function urlOf({ address, family, port }: AddressInfo): string {
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`
}
