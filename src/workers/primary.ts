import cluster, { type Worker } from 'node:cluster'
import type { Clock } from '../clock.ts'
import type { Config } from '../config/load.ts'
import { refuseTakenAddress } from '../http/taken-address.ts'
import { openMetrics, showMetrics } from '../jobs/metrics.ts'
import type { Log } from '../record/log.ts'
import type { EndSignal, OnSignal } from '../signals.ts'
import { gauge, type Metric } from '../upkeep/metric.ts'
import { openSums, type Sums } from './sums.ts'
import type { FromWorker, ToWorker } from './team.ts'

/*
 * One server of several processes. This one takes the connections and hands them to its workers in turn, so
 * that none is lost with a worker that dies; it opens no database and knows no secret. To each other the
 * workers are what instances on several machines are.
 */

export interface PrimaryOptions {
  readonly clock: Clock
  readonly log: Log
  readonly onSignal: OnSignal
  /** Is called once, with where the server serves. */
  readonly onServing: (url: string) => void
}

/** A worker that ends sooner than after so many seconds has not come to work. */
const earlySeconds = 5

/** So many in a row end the server. */
const earlyMax = 10

/** The pause before the next one is started, which doubles. */
const pauseSeconds = { first: 0.05, longest: 2 }

/** How long a worker may take to say what it has measured. */
const measureSeconds = 1

interface Member {
  readonly worker: Worker
  readonly startedAt: number
  /** Once it is gone. */
  closeHanded(): void
  isServing: boolean
  /** Who waits for what it measures. */
  readonly asked: Set<AbortController>
}

/**
 * Starts the workers of a server and keeps them at work, until a signal ends it or they cannot be kept; the
 * answer is the exit code. The first one starts alone: what keeps it from serving would keep all others, and
 * is said once.
 */
export async function superviseWorkers(
  config: Config,
  count: number,
  { clock, log, onSignal, onServing }: PrimaryOptions,
): Promise<0 | 1> {
  await refuseTakenAddress(config)
  cluster.setupPrimary({ serialization: 'advanced' })
  const crew = gather(count, clock, log)
  const giveBack = onSignal(signal => crew.end(0, signal))
  crew.start()
  const url = await crew.url
  if (url === undefined) {
    giveBack()
    return crew.ended
  }
  onServing(url)
  for (let i = 1; i < count; i++) crew.start()
  const stopShowing = show(config, crew, { clock, log })
  const code = await crew.ended
  await stopShowing()
  return code
}

interface Crew {
  readonly members: ReadonlyMap<number, Member>
  readonly sums: Sums
  /** Where the first worker serves; undefined where it ended before. */
  readonly url: Promise<string | undefined>
  /** The exit code, once all have ended and none is to follow. */
  readonly ended: Promise<0 | 1>
  /** How many ended by themselves. */
  replaced(): number
  /** Starts one more. */
  start(): void
  /** Ends all, and starts none any more. */
  end(code: 0 | 1, signal: EndSignal): void
}

function gather(count: number, clock: Clock, log: Log): Crew {
  const members = new Map<number, Member>()
  const sums = openSums()
  const url = Promise.withResolvers<string | undefined>()
  const ended = Promise.withResolvers<0 | 1>()
  let hasServed = false
  let endsWith: 0 | 1 | undefined
  let replaced = 0
  let early = 0

  const tellTeam = () => {
    const isComplete = members.size === count && [...members.values()].every(({ isServing }) => isServing)
    for (const { worker } of members.values()) tell(worker, { kind: 'team', isComplete })
  }
  const start = () => {
    if (endsWith !== undefined) return
    const worker = cluster.fork()
    const closeHanded = rememberHanded(worker)
    const startedAt = clock.steady()
    const member: Member = { worker, startedAt, closeHanded, isServing: false, asked: new Set() }
    members.set(worker.id, member)
    worker.on('message', (message: FromWorker) => {
      if (message.kind === 'metrics') {
        sums.note(worker.id, message.metrics)
        return answer(member)
      }
      member.isServing = hasServed = true
      url.resolve(message.url)
      tellTeam()
    })
    onceGone(worker, log, how => void leave(member, how))
  }
  const end = (code: 0 | 1, signal: EndSignal) => {
    endsWith = code
    for (const member of members.values()) tellToEnd(member, signal)
    if (members.size === 0) ended.resolve(code)
  }
  const leave = async (member: Member, how: Ending) => {
    const { worker, startedAt, isServing } = member
    members.delete(worker.id)
    answer(member)
    // Its last words may come after its end.
    if (worker.isConnected()) await new Promise(resolve => worker.once('disconnect', resolve))
    member.closeHanded()
    await sums.leave(worker.id)
    if (!hasServed) {
      // It has said itself why, and so would all others.
      endsWith ??= 1
      url.resolve(undefined)
    }
    if (endsWith !== undefined) return members.size === 0 ? ended.resolve(endsWith) : undefined
    tellTeam()
    replaced++
    early = !isServing || clock.steady() - startedAt < earlySeconds ? early + 1 : 0
    const about = { event: 'worker_ended', worker: worker.id, process_id: worker.process.pid, ...how }
    if (early >= earlyMax) {
      log.fatal(about, `${earlyMax} workers in a row ended as soon as they had started: the server ends`)
      return end(1, 'SIGTERM')
    }
    log.error(about, 'a worker has ended by itself, and another one is started')
    await clock.pause(early === 0 ? 0 : Math.min(pauseSeconds.longest, pauseSeconds.first * 2 ** early))
    start()
  }
  return { members, sums, url: url.promise, ended: ended.promise, replaced: () => replaced, start, end }
}

interface Ending {
  readonly code: number | null
  readonly signal: string | undefined
}

/** Hears when a worker has ended, or that no process could be started. */
function onceGone(worker: Worker, log: Log, leave: (how: Ending) => void): void {
  worker.once('exit', (code, signal) => leave({ code, signal: signal || undefined }))
  worker.on('error', (error: Error) => {
    log.warn({ err: error, worker: worker.id }, 'a worker cannot be reached')
    // Otherwise it has just died, and its end is heard of too.
    if (worker.process.pid === undefined) leave({ code: null, signal: undefined })
  })
}

/**
 * A worker has at most one connection that was handed to it and that it has not taken yet. With a worker that
 * dies Node.js forgets that one, and its client would wait for ever: the answer closes it, so that the client
 * asks again. One that was taken is closed here already.
 */
function rememberHanded({ process: child }: Worker): () => void {
  let handed: { close?(): void } | undefined
  const send = child.send.bind(child) as (...given: unknown[]) => boolean
  child.send = (...given: unknown[]) => {
    const [message, handle] = given as [{ readonly act?: unknown }, typeof handed]
    if (message.act === 'newconn') handed = handle
    return send(...given)
  }
  return () => handed?.close?.()
}

/** One that starts may not listen to us yet, but it obeys a signal, as a server without workers does. */
function tellToEnd({ worker, isServing }: Member, signal: EndSignal): void {
  if (isServing) tell(worker, { kind: 'end', signal })
  else worker.process.kill('SIGTERM')
}

/** One that has just ended hears nothing: its end is told by itself. */
function tell(worker: Worker, message: ToWorker): void {
  if (worker.isConnected()) worker.send(message, undefined, () => {})
}

function metricsOf({ members, replaced }: Crew): readonly Metric[] {
  const serving = () => [...members.values()].filter(({ isServing }) => isServing).length
  return [
    gauge('mintmark_workers', 'Processes of this server that serve', serving),
    {
      kind: 'counter',
      name: 'mintmark_workers_replaced_total',
      help: 'Processes of this server that ended by themselves, and were replaced',
      labels: [],
      samples: () => [[{}, replaced()]],
    },
  ]
}

/** Shows the sums of all workers at the address of the metrics, if there is one. */
function show(
  { metricsHost: host, metricsPort: port }: Config,
  crew: Crew,
  { clock, log }: Pick<PrimaryOptions, 'clock' | 'log'>,
): () => Promise<void> {
  if (port === 0) return async () => {}
  const { members, sums } = crew
  const own = openMetrics(metricsOf(crew), { withProcess: false })
  const text = async () => {
    await Promise.all([...members.values()].map(member => measureNow(member, clock)))
    return sums.text(await own.measure())
  }
  return showMetrics(text, { host, port }, log)
}

/** Waits for what a worker measures now; of one that is too busy to answer, what it said before is shown. */
async function measureNow({ worker, asked }: Member, clock: Clock): Promise<void> {
  const answered = new AbortController()
  asked.add(answered)
  tell(worker, { kind: 'measure' })
  await clock.pause(measureSeconds, answered.signal)
  asked.delete(answered)
}

function answer({ asked }: Member): void {
  for (const answered of asked) answered.abort()
}
