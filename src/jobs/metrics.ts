import { fastify, type FastifyInstance } from 'fastify'
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import { latencyBounds, type Latency } from '../../db/engines/latency.ts'
import type { Context } from '../context.ts'
import { noSchemas } from '../http/no-schemas.ts'
import { phaseOf, type KeyPlan } from '../keys/ring/key-life.ts'

/** The listener of its own that shows the metrics (`GET /metrics`, Prometheus's text format). */
export interface Metrics {
  /** Listens, unless it does already. Rejects when the address cannot be had. */
  keepListening(): Promise<void>
  close(): Promise<void>
}

/** Everything shown is in memory, so looking at it costs no database access. */
export function openMetrics(ctx: Context): Metrics {
  const { metricsHost: host, metricsPort: port } = ctx.config
  const registry = registryOf(ctx)
  let app: FastifyInstance | undefined
  return {
    keepListening: async () => {
      if (app) return
      const opened = listener(registry)
      try {
        await opened.listen({ host, port })
      } catch (error) {
        await opened.close()
        throw new Error(
          `the metrics cannot be shown at ${host}:${port}: set MINTMARK_METRICS_PORT to another port, or to 0 for none`,
          { cause: error },
        )
      }
      app = opened
    },
    close: async () => app?.close(),
  }
}

function listener(registry: Registry): FastifyInstance {
  const app = fastify({
    // Node.js cuts off nobody any more once it closes, and who looks at metrics can ask again.
    forceCloseConnections: true,
    http: { headersTimeout: 10_000 },
    requestTimeout: 15_000,
    schemaController: { compilersFactory: noSchemas },
  })
  app.setNotFoundHandler((_request, reply) => reply.code(404).type('text/plain').send('see /metrics\n'))
  app.get('/metrics', async (_request, reply) => {
    reply.header('cache-control', 'no-store').type(registry.contentType)
    return registry.metrics()
  })
  return app
}

function registryOf(ctx: Context): Registry {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 20 })
  addCounters(registry, ctx)
  addKeys(registry, ctx)
  addQueues(registry, ctx)
  addLatency(registry, 'mintmark_database_commit_seconds', 'Commits of refreshes', ctx.db.load.commits)
  addLatency(
    registry,
    'mintmark_database_poll_seconds',
    'The question each server asks its database twice a second',
    ctx.db.load.polls,
  )
  return registry
}

/** One value, with its labels. */
type Sample<Label extends string> = readonly [labels: Readonly<Record<Label, string>>, value: number]

interface Described<Label extends string> {
  readonly name: string
  readonly help: string
  readonly labels: readonly Label[]
}

type Samples<Label extends string> = () => Iterable<Sample<Label>>

/** A counter whose values are kept elsewhere, as plain numbers, and read when somebody asks. */
function counter<Label extends string>(
  registry: Registry,
  described: Described<Label>,
  samples: Samples<Label>,
): void {
  new Counter<Label>(shown(registry, described, samples))
}

/** As `counter`, for what goes up and down. */
function gauge<Label extends string>(
  registry: Registry,
  described: Described<Label>,
  samples: Samples<Label>,
): void {
  new Gauge<Label>(shown(registry, described, samples))
}

function shown<Label extends string>(
  registry: Registry,
  { name, help, labels }: Described<Label>,
  samples: Samples<Label>,
) {
  return {
    name,
    help,
    labelNames: labels,
    registers: [registry],
    collect(this: Counter<Label> | Gauge<Label>) {
      this.reset()
      for (const [of, value] of samples()) this.inc(of, value)
    },
  }
}

/** What becomes of a refresh token, in the words of the documentation. */
const verdictNames = {
  rotate: 'rotated',
  reuse: 'reused',
  repeat: 'repeated',
  late: 'late',
  heal: 'healed',
  theft: 'theft',
  expired: 'expired',
  exhausted: 'exhausted',
} as const

function addCounters(registry: Registry, { counts }: Context): void {
  counter(
    registry,
    {
      name: 'mintmark_token_requests_total',
      help: 'Answers of /token, by grant, client and outcome (granted, throttled, or the error)',
      labels: ['grant', 'client_id', 'outcome'],
    },
    function* () {
      for (const [client_id, grants] of counts.tokens) {
        for (const [grant, { granted, refused }] of grants) {
          yield [{ grant, client_id, outcome: 'granted' }, granted]
          for (const [outcome, count] of refused) yield [{ grant, client_id, outcome }, count]
        }
      }
    },
  )
  counter(
    registry,
    {
      name: 'mintmark_refresh_verdicts_total',
      help: 'Genuine refresh tokens, by what was done with them',
      labels: ['verdict'],
    },
    function* () {
      for (const [kind, verdict] of Object.entries(verdictNames)) {
        yield [{ verdict }, counts.verdicts[kind as keyof typeof verdictNames]]
      }
    },
  )
  counter(
    registry,
    {
      name: 'mintmark_revocations_total',
      help: 'Sessions, or all sessions of a user, that this server has ended, by who wanted it; and those of commands',
      labels: ['by'],
    },
    function* () {
      for (const [by, count] of Object.entries(counts.revocations)) yield [{ by }, count]
      yield [{ by: 'theft' }, counts.verdicts.theft]
    },
  )
  counter(
    registry,
    {
      name: 'mintmark_log_lines_lost_total',
      help: 'Lines of the log that could not be written, since the disk is full or nobody reads them',
      labels: [],
    },
    () => [[{}, counts.logLinesLost()]],
  )
  counter(
    registry,
    { name: 'mintmark_errors_total', help: 'Errors answered', labels: ['error', 'status'] },
    function* () {
      for (const [key, count] of counts.errors) {
        const [error = '', status = ''] = key.split(' ')
        yield [{ error, status }, count]
      }
    },
  )
}

function addKeys(registry: Registry, { keys, clock }: Context): void {
  gauge(
    registry,
    { name: 'mintmark_signing_keys', help: 'Signing keys, by algorithm and state', labels: ['alg', 'state'] },
    function* () {
      const states = ['next', 'active', 'retiring', 'revoked'] as const
      for (const alg of new Set(keys.rows().map(row => row.alg))) {
        const phases = keys.rows().flatMap(row => (row.alg === alg ? [phaseOf(row)] : []))
        for (const state of states) yield [{ alg, state }, phases.filter(phase => phase === state).length]
      }
    },
  )
  gauge(
    registry,
    {
      name: 'mintmark_signing_key_next_step_seconds',
      help: 'How long until a key of this state signs (next), retires (active) or leaves; below 0 it is overdue',
      labels: ['alg', 'state'],
    },
    function* () {
      const plan = keys.plan()
      const soonest = new Map<string, Sample<'alg' | 'state'>>()
      for (const { kid, alg } of keys.rows()) {
        const planned = plan.get(kid)
        const at = planned && nextStepAt(planned)
        if (!planned || at === null || at === undefined) continue
        const key = `${alg} ${planned.phase}`
        const before = soonest.get(key)?.[1] ?? Infinity
        soonest.set(key, [{ alg, state: planned.phase }, Math.min(before, at - clock.now())])
      }
      yield* soonest.values()
    },
  )
  gauge(
    registry,
    {
      name: 'mintmark_jwks_confirmed',
      help: 'Whether the key ring was confirmed by the database within the last 10 seconds',
      labels: [],
    },
    () => [[{}, keys.isConfirmed() ? 1 : 0]],
  )
}

function nextStepAt({ phase, signsFrom, retiresAt, goneAt }: KeyPlan): number | null {
  if (phase === 'next') return signsFrom
  return phase === 'active' ? retiresAt : goneAt
}

function addQueues(
  registry: Registry,
  { users: { passwords, throttle }, db, audit, sessions: { lateness }, load: { pressure } }: Context,
): void {
  gauge(
    registry,
    {
      name: 'mintmark_queue_length',
      help: 'How many wait: for a hash, a commit, a connection to the database; entries of the audit trail',
      labels: ['queue'],
    },
    () => [
      [{ queue: 'password_hash' }, passwords.load().waiting],
      [{ queue: 'refresh_commit' }, db.load.waitingRotations()],
      [{ queue: 'database_connection' }, db.load.waitingForConnection()],
      [{ queue: 'audit_entry' }, audit.waiting()],
    ],
  )
  const facts: [name: string, help: string, value: () => number][] = [
    ['mintmark_password_hashes_running', 'Passwords being hashed', () => passwords.load().running],
    ['mintmark_requests_under_way', 'Requests being answered', () => pressure.underWay()],
    ['mintmark_throttle_buckets', 'Counters of wrong guesses in memory', () => throttle.size()],
    [
      'mintmark_refresh_outage',
      'Whether so many refreshes were late lately that nobody is taken for a thief',
      () => (lateness.isOutage() ? 1 : 0),
    ],
  ]
  for (const [name, help, value] of facts) {
    gauge(registry, { name, help, labels: [] }, () => [[{}, value()]])
  }
}

/** A histogram whose buckets are kept elsewhere: prom-client's own would cost each commit a microsecond. */
function addLatency(registry: Registry, name: string, help: string, latency: Latency): void {
  const histogram = new Histogram({ name, help, buckets: [...latencyBounds], registers: [registry] })
  const get = async () => {
    let count = 0
    const buckets = latency.counts.map((inBucket, i) => {
      count += inBucket
      return { metricName: `${name}_bucket`, labels: { le: latencyBounds[i] ?? '+Inf' }, value: count }
    })
    const total = [
      { metricName: `${name}_sum`, labels: {}, value: latency.sumSeconds },
      { metricName: `${name}_count`, labels: {}, value: count },
    ]
    return { name, help, type: 'histogram', values: [...buckets, ...total], aggregator: 'sum' }
  }
  // The second one is what a registry asks for, if there is one, and the first one otherwise.
  Object.assign(histogram, { get, getForPromString: get })
}
