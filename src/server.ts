import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { buildApp } from './app.ts'
import { openClientKeys } from './clients/client-keys.ts'
import { openRegistry } from './clients/registry.ts'
import type { Clock } from './clock.ts'
import type { OnSignal } from './signals.ts'
import type { Config } from './config/load.ts'
import type { Context } from './context.ts'
import { reviveByHand } from './endings/restored.ts'
import { openStatusLists } from './endings/status-lists.ts'
import { openStatusPositions } from './endings/status-positions.ts'
import { openInstallation, type Installation } from './installation/open.ts'
import { openStanding, type Standing } from './installation/standing.ts'
import { startJobs } from './jobs/jobs.ts'
import { unheededPolicy } from './keys/ring/key-policy.ts'
import { openKeyRing } from './keys/ring/key-ring.ts'
import { openBrake } from './load/brake.ts'
import { openDrain } from './load/drain.ts'
import { openPressure } from './load/pressure.ts'
import { openAuditTrail } from './record/audit-trail.ts'
import { openCounts } from './record/counts.ts'
import type { Log, ProcessLog } from './record/log.ts'
import { openLateness } from './sessions/lateness.ts'
import { openPasswords } from './users/passwords.ts'
import { openThrottle } from './users/throttle.ts'
import { networks } from './values/networks.ts'

export interface Server {
  readonly ctx: Context
  readonly app: FastifyInstance
  /** Where it listens. */
  readonly url: string
  /**
   * Tells proxies by `/health/ready` and with each answer that it is about to end, while it serves for another
   * MINTMARK_DRAIN; then answers what is in flight, and closes everything, the database last.
   */
  close(): Promise<void>
}

/** Opens everything, makes or migrates the database, and listens. */
export async function startServer(config: Config, clock: Clock, log: Log): Promise<Server> {
  await refuseTakenAddress(config)
  const installation = await openInstallation(config, clock, { mayCreate: true })
  try {
    const standing = openStanding({ db: installation.db, clock, log })
    await standing.follow()
    await reviveByHand(installation.db, installation.record, { clock: standing.clock, log })
    const unheeded = unheededPolicy(config.keyPolicySet, installation.record)
    if (unheeded) log.warn(`${unheeded.text}: ${unheeded.advice}`)
    const ctx = await openContext(config, installation, standing, log)
    const app = buildApp(ctx)
    const stopJobs = startJobs(ctx)
    try {
      // A start is done in few turns of the event loop: a signal that came meanwhile is obeyed before anybody is served.
      await clock.pause(0)
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
        ctx.load.drain.begin()
        await clock.pause(config.drainSeconds)
        await closeInTime(app, clock)
        await stopJobs()
        await installation.db.close()
      },
    }
  } catch (error) {
    await installation.db.close()
    throw error
  }
}

/** Before anything is made: a new installation has the issuer of its port, and is refused under another one. */
async function refuseTakenAddress({ host, port }: Config): Promise<void> {
  const holder = createServer().listen(port, host)
  await once(holder, 'listening')
  holder.close()
  await once(holder, 'close')
}

/** How long requests may take that are under way when the server closes, and whoever is connected and asks nothing. */
const closingSeconds = 15

/** Closes the server when all is answered, or time is up: Node.js cuts off nobody any more once it closes. */
async function closeInTime(app: FastifyInstance, clock: Clock): Promise<void> {
  const closed = new AbortController()
  void clock.pause(closingSeconds, closed.signal).then(() => app.server.closeAllConnections())
  await app.close()
  closed.abort()
}

/** Serves until a signal asks it to end, and closes then. A second signal ends the process at once. */
export async function untilSignal({ ctx, close }: Server, onSignal: OnSignal): Promise<void> {
  const signal = await new Promise(resolve => onSignal(resolve))
  const { drainSeconds: drain } = ctx.config
  ctx.log.info(
    { signal, drain_seconds: drain },
    'closing: requests are answered, and proxies told to send no more',
  )
  await close()
  ctx.log.info('closed')
}

/** How long a client's key set may take to arrive. */
const jwksSeconds = 3

/** Everything that an endpoint depends on. */
export async function openContext(
  config: Config,
  { db, rootKeys }: Installation,
  standing: Standing,
  log: Log & Partial<Pick<ProcessLog, 'linesLost'>>,
): Promise<Context> {
  const { clock } = standing
  const keys = await openKeyRing({ db, rootKeys, clock, log })
  const registry = openRegistry(db)
  const counts = openCounts(log.linesLost)
  return {
    config,
    db,
    rootKeys,
    keys,
    clients: {
      registry,
      keys: openClientKeys({ isAllowed: networks(config.jwksUriNetworks), seconds: jwksSeconds }, clock, log),
    },
    users: {
      passwords: openPasswords({ pepperOf: rootKeys.pepperOf, currentRootKeyId: () => rootKeys.currentId }),
      throttle: openThrottle({ db, rootKeys, clock }),
    },
    sessions: { lateness: openLateness(clock), nextStatusPosition: openStatusPositions(db) },
    load: { pressure: openPressure(clock), brake: openBrake(clock), drain: openDrain() },
    standing,
    statusLists: openStatusLists({ config, db, keys, registry, counts, clock }),
    audit: openAuditTrail(db, clock),
    counts,
    clock,
    log,
  }
}

function urlOf({ address, family, port }: AddressInfo): string {
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`
}
