import { writeAgain } from '../../db/engines/write-again.ts'
import { forgetUses } from '../../db/grants/replays.ts'
import { deleteAuditEntries } from '../../db/installation/audit.ts'
import { deleteStatusLists } from '../../db/installation/status-lists.ts'
import { deleteRevocations } from '../../db/sessions/revocations.ts'
import { readSweeper } from '../../db/sessions/sweeper.ts'
import { deleteEmptyThrottles } from '../../db/users/throttles.ts'
import type { Context } from '../context.ts'
import { finishOldEndings } from '../endings/finish.ts'
import { revocationSeconds } from '../endings/status-lists.ts'
import { sampleSeconds } from '../load/pressure.ts'
import { openMetrics } from './metrics.ts'
import { openSweeper } from './sweeper.ts'

/** How often a server asks whether something has changed: so that a change takes effect within a second. */
const followSeconds = 0.5

/** How often servers tell each other what was guessed, and write down what happened. */
const tellSeconds = 1

const forgetSeconds = 60

const sweepSeconds = 1

/** Starts all timers; the answer stops them and waits for what is under way. */
export function startJobs(ctx: Context): () => Promise<void> {
  const { db, clock } = ctx
  const metrics = ctx.config.metricsPort === 0 ? undefined : openMetrics(ctx)
  const followers = [
    repeat(ctx, 'asking the database', followSeconds, () => ctx.standing.follow()),
    repeat(ctx, 'following the registry', followSeconds, () => ctx.clients.registry.follow()),
    repeat(ctx, 'following the key ring', followSeconds, () => ctx.keys.follow()),
    repeat(ctx, 'following what is revoked', followSeconds, () => ctx.statusLists.follow()),
  ]
  // Where the database tells of changes, they are followed at once; the pause above is for what it did not tell.
  const watch = db.watch(() => {
    for (const { hurry } of followers) hurry()
  })
  const others = [
    repeat(ctx, 'listening to the database', followSeconds, () => watch.keep()),
    repeat(ctx, 'writing the end of sessions', followSeconds, signal =>
      finishOldEndings(db, { clock, signal }),
    ),
    repeat(ctx, 'sharing the counts of wrong guesses', tellSeconds, () => ctx.users.throttle.share()),
    repeat(ctx, 'writing the audit trail', tellSeconds, () => ctx.audit.flush()),
    repeat(ctx, 'writing the log', tellSeconds, async () => ctx.log.flush?.()),
    repeat(ctx, 'writing to the database', tellSeconds, () => writeAgain(db)),
    repeat(ctx, 'measuring the event loop', sampleSeconds, async () => ctx.load.pressure.sample()),
    repeat(ctx, 'forgetting guesses', forgetSeconds, () =>
      deleteEmptyThrottles(db, { now: clock.now(), limit: 10_000 }),
    ),
    repeat(ctx, 'forgetting old entries of the audit trail', forgetSeconds, signal =>
      forgetAudit(ctx, signal),
    ),
    repeat(ctx, 'forgetting what was revoked', forgetSeconds, () => forgetRevocations(ctx)),
    repeat(ctx, 'sweeping ended sessions', sweepSeconds, openSweeper(ctx)),
    repeat(ctx, 'forgetting used proofs', forgetSeconds, signal => forgetOldUses(ctx, signal)),
  ]
  if (metrics) {
    const showing = repeat(ctx, 'showing the metrics', tellSeconds, metrics.keepListening)
    showing.hurry()
    others.push(showing)
  }
  return async () => {
    await Promise.all([...followers, ...others].map(({ stop }) => stop()))
    await watch.close()
    await metrics?.close()
    await tellLast(ctx)
  }
}

/** What has not been told yet. The server closes all the same when it cannot be. */
async function tellLast({ users, audit, log }: Context): Promise<void> {
  for (const last of [() => users.throttle.share(), () => audit.close()]) {
    await last().catch((error: unknown) =>
      log.error({ err: error }, 'the last notes of this server are lost'),
    )
  }
}

/** Few enough at once that nobody waits for them, and together more than can be added in a minute. */
const auditRowsAtOnce = 500
const auditRounds = 40

/** Deletes entries of the audit trail whose time is up. */
export async function forgetAudit(
  { db, config, clock }: Pick<Context, 'db' | 'config' | 'clock'>,
  signal: AbortSignal,
): Promise<void> {
  const before = clock.now() - config.auditSeconds
  for (let round = 0; round < auditRounds && !signal.aborted; round++) {
    if ((await deleteAuditEntries(db, { before, limit: auditRowsAtOnce })) < auditRowsAtOnce) return
    await clock.pause(0.05)
  }
}

/**
 * What no living token can be asked about any more. A bounded number at once: the rest a minute later. By the sweeper's
 * time, which does not follow a clock that jumps ahead.
 */
async function forgetRevocations({ db, clock }: Pick<Context, 'db' | 'clock'>): Promise<void> {
  const sweeper = await readSweeper(db)
  const before = Math.min(clock.now(), sweeper.clock ?? 0) - revocationSeconds
  await deleteRevocations(db, { before, limit: 10_000 })
  await deleteStatusLists(db, before)
}

/** The proofs and assertions that are refused for their age by now. */
async function forgetOldUses(
  { db, clock }: Pick<Context, 'db' | 'clock'>,
  signal: AbortSignal,
): Promise<void> {
  const limit = 1000
  while (!signal.aborted && (await forgetUses(db, clock.now(), limit)) === limit);
}

interface Job {
  /** Does not wait for the pause to end; after what is under way, it is done once more. */
  hurry(): void
  /** Asks a job that takes long to come to an end, by its signal, and waits for it. */
  stop(): Promise<void>
}

/** Runs the job again and again, with a pause in between. A failure is logged once, until it succeeds again. */
function repeat(
  ctx: Context,
  name: string,
  seconds: number,
  job: (signal: AbortSignal) => Promise<unknown>,
): Job {
  const stopping = new AbortController()
  let isFailing = false
  let isHurried = false
  let timer: NodeJS.Timeout | undefined
  let running = Promise.resolve()

  const run = async () => {
    timer = undefined
    isHurried = false
    try {
      await job(stopping.signal)
      if (isFailing) ctx.log.info(`${name} works again`)
      isFailing = false
    } catch (error) {
      if (!isFailing) ctx.log.error({ err: error }, `${name} failed, and is tried again`)
      isFailing = true
    }
    if (!stopping.signal.aborted) schedule(isHurried ? 0 : seconds)
  }
  const schedule = (pauseSeconds: number) => {
    timer = setTimeout(() => {
      running = run()
    }, pauseSeconds * 1000)
  }
  schedule(seconds)
  return {
    hurry: () => {
      isHurried = true
      if (!timer || stopping.signal.aborted) return
      clearTimeout(timer)
      schedule(0)
    },
    stop: async () => {
      stopping.abort()
      clearTimeout(timer)
      await running
    },
  }
}
