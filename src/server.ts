import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import type { Database } from '../db/database.ts'
import { importJobs } from './admin/bulk/import-job.ts'
import { keptAnswers } from './admin/kept-answers.ts'
import { buildApp, facesOf } from './app.ts'
import { oldDevices } from './authorization/device-upkeep.ts'
import { openClients } from './clients/clients.ts'
import { usedProofs } from './clients/used-proofs.ts'
import type { Clock } from './clock.ts'
import type { Config } from './config/load.ts'
import type { Context } from './context.ts'
import { oldEndings } from './endings/finish.ts'
import { openLateness } from './endings/lateness.ts'
import { unusedClients } from './endings/unused-clients.ts'
import { sessionJobs } from './endings/session-jobs.ts'
import { reviveByHand } from './endings/restored.ts'
import { openStatusLists } from './endings/status-lists.ts'
import { openStatusPositions } from './endings/status-positions.ts'
import { databaseUpkeep } from './installation/database-upkeep.ts'
import { openInstallation, type Installation } from './installation/open.ts'
import { openStanding, type OpenStanding } from './installation/standing.ts'
import { startJobs } from './jobs/jobs.ts'
import { openMetrics, showMetrics, tellMetrics } from './jobs/metrics.ts'
import { unheededPolicy } from './keys/ring/key-policy.ts'
import { openKeyRing } from './keys/ring/key-ring.ts'
import { closeInTime } from './http/close-in-time.ts'
import { refuseTakenAddress } from './http/taken-address.ts'
import { openAdmission } from './load/admission.ts'
import { openAfterwards } from './load/afterwards.ts'
import { openDrain } from './load/drain.ts'
import { openRefusalDelay } from './load/refusal-delay.ts'
import { openRests } from './load/rests.ts'
import { openMailServices } from './mail/mail.ts'
import { openOutbox } from './mail/outbox.ts'
import { transportOf } from './mail/transport.ts'
import { openPush } from './push/push.ts'
import { openAuditFeed } from './record/audit-feed.ts'
import { openAuditTrail } from './record/audit-trail.ts'
import { countMetrics } from './record/count-metrics.ts'
import { openCountRows } from './record/count-rows.ts'
import { openCounts } from './record/counts.ts'
import { logUpkeep, type Log, type ProcessLog } from './record/log.ts'
import { sessionIndex } from './sessions/session-index.ts'
import { openSweeper } from './sessions/sweeper.ts'
import { openTokenUses } from './sessions/token-uses.ts'
import type { OnSignal } from './signals.ts'
import { openStreams } from './streams/open.ts'
import type { Job } from './upkeep/job.ts'
import type { Metric } from './upkeep/metric.ts'
import { deletedGroups } from './users/deleted-groups.ts'
import { openImportedSample } from './users/imported-sample.ts'
import { openPasswordHook } from './users/password-hook.ts'
import { hashesAtOnce, openPasswords, type PasswordCost } from './users/passwords.ts'
import { openThrottle } from './users/throttle.ts'
import { alone, type Team } from './workers/team.ts'

export interface ServerOptions {
  /** This machine's clock. */
  readonly clock: Clock
  readonly log: Log & Partial<Pick<ProcessLog, 'linesLost'>>
  /** By hand, none is started, and nothing is asked or shown at the start: the caller runs them. */
  readonly jobs: 'by themselves' | 'by hand'
  /** Puts something in the place of what the app depends on. */
  readonly adapt?: (ctx: Context) => Context
  /** What hashing a password costs, if not what is due to people's. */
  readonly passwordCost?: PasswordCost
  /** Shows mails to the operator, where no SMTP server takes them. */
  readonly showMail?: (mail: string) => void
  /** The workers of which this is one, if it is not the server alone. */
  readonly team?: Team
}

/** A server that does not listen yet. */
export interface OpenServer {
  readonly ctx: Context
  readonly app: FastifyInstance
  /** Has the admin API, where that is on a listener of its own. */
  readonly adminApp: FastifyInstance | undefined
  readonly jobs: readonly Job[]
  readonly metrics: readonly Metric[]
  /**
   * Tells proxies by `/health/ready` and with each answer that it is about to end, while it serves for
   * another MINTMARK_DRAIN; then answers what is in flight, and closes everything, the database last.
   */
  close(): Promise<void>
}

export interface Server extends OpenServer {
  /** Where it listens. */
  readonly url: string
}

/** Opens a server, and listens where the settings say. */
export async function startServer(
  config: Config,
  clock: Clock,
  log: Log,
  more: Pick<ServerOptions, 'showMail' | 'team'> = {},
): Promise<Server> {
  // A primary has done so: a worker's listener would be handed connections, which it does not answer.
  if (more.team?.worker === undefined) await refuseTakenAddress(config)
  const server = await openServer(config, { clock, log, jobs: 'by themselves', ...more })
  const { app, adminApp } = server
  try {
    // A start is done in few turns of the event loop: a signal of that time is obeyed before anything is
    // served.
    await clock.pause(0)
    await app.listen({ host: config.host, port: config.port })
    await adminApp?.listen({ host: config.adminHost, port: config.adminPort ?? 0 })
  } catch (error) {
    await server.close()
    throw error
  }
  log.info({ issuer: config.issuer, ...(app.server.address() as AddressInfo) }, 'serving')
  if (adminApp) log.info({ ...(adminApp.server.address() as AddressInfo) }, 'serving the admin API')
  const url = urlOf(app.server.address() as AddressInfo)
  more.team?.tellServing(url)
  return { ...server, url }
}

/**
 * Puts a server together: makes or migrates the database, and starts the jobs, unless they are run by hand.
 */
export async function openServer(config: Config, options: ServerOptions): Promise<OpenServer> {
  const { clock, log, jobs: how, adapt = ctx => ctx, team = alone } = options
  const installation = await openInstallation(config, clock, { mayCreate: true })
  const { db, record } = installation
  try {
    const standing = openStanding({ db, clock, log })
    if (how === 'by themselves') await standing.follow()
    await reviveByHand(db, record, { clock: standing.standing.clock, log })
    const unheeded = unheededPolicy(config.keyPolicySet, record)
    if (unheeded) log.warn(`${unheeded.text}: ${unheeded.advice}`)
    const { ctx, jobs, metrics } = await openContext(config, installation, standing, options)
    const adapted = adapt(ctx)
    const [app, adminApp] = facesOf(config).map(faces => buildApp(adapted, {}, faces))
    if (!app) throw new Error('unreachable: there is always one')
    const stop = how === 'by hand' ? async () => {} : startAll({ config, db, log, jobs, metrics, team })
    return {
      ctx: adapted,
      app,
      adminApp,
      jobs,
      metrics,
      close: async () => {
        if (app.server.listening) {
          ctx.load.drain.begin()
          await clock.pause(config.drainSeconds)
        }
        await Promise.all([app, adminApp].map(async app => app && closeInTime(app, clock)))
        await stop()
        await db.close()
      },
    }
  } catch (error) {
    await db.close()
    throw error
  }
}

interface Parts {
  readonly config: Config
  readonly db: Database
  readonly log: Log
  readonly jobs: readonly Job[]
  readonly metrics: readonly Metric[]
  readonly team: Team
}

/** Starts the jobs, and shows the metrics or tells them, where they are wanted; the answer stops both. */
function startAll({ config, db, log, jobs, metrics, team }: Parts): () => Promise<void> {
  const stopJobs = startJobs(jobs, db, log)
  const { metricsHost: host, metricsPort: port } = config
  const show = () => {
    const { text, measure } = openMetrics(metrics)
    if (team.worker === undefined) return showMetrics(text, { host, port }, log)
    return tellMetrics(team.tellMetrics(measure), log)
  }
  const stopShowing = port === 0 ? async () => {} : show()
  return async () => {
    await Promise.all([stopJobs(), stopShowing()])
  }
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

/** Jobs that need the database alone. */
const chores = [oldEndings, usedProofs, oldDevices, deletedGroups, sessionIndex]

interface Opened {
  readonly ctx: Context
  readonly jobs: readonly Job[]
  readonly metrics: readonly Metric[]
}

/**
 * Opens every service: one line for each. The context has what is used of it; what it has done and shown is
 * collected.
 */
async function openContext(
  config: Config,
  { db, rootKeys }: Installation,
  opened: OpenStanding,
  { log, passwordCost, showMail, team = alone }: ServerOptions,
): Promise<Opened> {
  const jobs: Job[] = []
  const metrics: Metric[] = []
  const add = <Service extends Partial<Pick<Opened, 'jobs' | 'metrics'>>>(service: Service): Service => {
    jobs.push(...(service.jobs ?? []))
    metrics.push(...(service.metrics ?? []))
    return service
  }
  const { standing } = add(opened)
  const { clock } = standing
  const counts = openCounts(log.linesLost, clock.now())
  add({ ...openCountRows({ db, clock, counts }), metrics: countMetrics(counts) })
  const { clients } = add(openClients({ config, db, clock, log }))
  const { registry } = clients
  const { keys } = add(await openKeyRing({ db, rootKeys, clock, log }))
  const { statusLists } = add(openStatusLists({ config, db, keys, registry, counts, clock }))
  const { polls, kinds } = add(openStreams({ config, db, rootKeys, keys, clock, log }))
  const { listeners } = add(openPush({ config, db, rootKeys, keys, registry, clock, log, kinds }))
  const { throttle } = add(openThrottle({ db, rootKeys, clock }))
  const { audit } = add(openAuditTrail({ db, clock, auditSeconds: config.auditSeconds }))
  const drain = openDrain()
  const { auditFeed } = add(openAuditFeed({ db, clock, drain }))
  const { admission } = add(openAdmission(clock))
  const [rests, delayRefusal] = [openRests(clock, admission), openRefusalDelay(clock)]
  const { afterwards } = add(openAfterwards())
  const { lateness } = add(openLateness(clock))
  const { likenessOf } = add(openImportedSample({ db, rootKeys })).sample
  const { passwords } = add(
    openPasswords({ rootKeys, likenessOf, cost: passwordCost, concurrency: hashesAtOnce(team.workers) }),
  )
  const address = config.passwordHook
  const passwordHook = address && add(openPasswordHook({ address, clock, log })).passwordHook
  for (const chore of chores) add(chore(db, clock))
  for (const chore of [unusedClients, sessionJobs]) add(chore({ db, clock, log, counts }))
  add(importJobs({ db, clock, log, counts, rootKeys, passwords }))
  add(keptAnswers({ db, rootKeys, clock }))
  add(openSweeper({ db, clock, log }))
  const { noteTokenUse } = add(openTokenUses(db, clock))
  for (const upkeep of [databaseUpkeep(db), logUpkeep(log)]) add(upkeep)
  const transport = transportOf(config, showMail)
  const mail = transport && openMailServices({ config, rootKeys, clock })
  if (transport) add(openOutbox({ db, rootKeys, clock, log, transport }))
  const ctx: Context = {
    config,
    db,
    rootKeys,
    keys,
    clients,
    users: { passwords, throttle, passwordHook },
    sessions: { lateness, nextStatusPosition: openStatusPositions(db), noteTokenUse },
    load: { admission, rests, delayRefusal, drain, afterwards },
    mail,
    standing,
    team,
    statusLists,
    listeners,
    audit,
    auditFeed,
    polls,
    counts,
    clock,
    log,
  }
  return { ctx, jobs, metrics }
}

function urlOf({ address, family, port }: AddressInfo): string {
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`
}
