import { fastify, type FastifyInstance } from 'fastify'
import {
  collectDefaultMetrics,
  Counter,
  Gauge,
  Histogram,
  Registry,
  type MetricObjectWithValues,
  type MetricValue,
} from 'prom-client'
import { noSchemas } from '../http/no-schemas.ts'
import type { Log } from '../record/log.ts'
import { tellSeconds } from '../upkeep/job.ts'
import type { HistogramMetric, Metric } from '../upkeep/metric.ts'
import { repeat } from './repeat.ts'

/** The listener of its own that shows the metrics (`GET /metrics`, Prometheus's text format). */
export interface MetricsListener {
  /** Listens, unless it does already. Rejects when the address cannot be had. */
  keepListening(): Promise<void>
  close(): Promise<void>
}

/** Where it listens. */
interface Address {
  readonly host: string
  readonly port: number
}

/** The metrics of a process at one moment, to be read by a program. */
export type Measured = readonly MetricObjectWithValues<MetricValue<string>>[]

export interface OpenMetrics {
  /** In Prometheus's text format. */
  text(): Promise<string>
  measure(): Promise<Measured>
}

/**
 * Shows what services count, and by itself what the process uses. All of it is in memory, so looking at it
 * costs no database access.
 */
export function openMetrics(metrics: readonly Metric[], { withProcess = true } = {}): OpenMetrics {
  const registry = registryOf(metrics)
  if (withProcess) collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 20 })
  return { text: () => registry.metrics(), measure: () => registry.getMetricsAsJSON() }
}

/** Listens, and tries again each second where it cannot; the answer stops it. */
export function showMetrics(text: OpenMetrics['text'], address: Address, log: Log): () => Promise<void> {
  const { keepListening, close } = openMetricsListener(text, address)
  const job = { name: 'showing the metrics', everySeconds: tellSeconds, run: keepListening }
  const { hurry, stop } = repeat(job, log)
  hurry()
  return async () => {
    await stop()
    await close()
  }
}

/** Has them told each second; the answer tells them for the last time. */
export function tellMetrics(tell: () => Promise<void>, log: Log): () => Promise<void> {
  const { stop } = repeat({ name: 'telling the metrics', everySeconds: tellSeconds, run: tell }, log)
  return async () => {
    await stop()
    await tell()
  }
}

export function openMetricsListener(text: OpenMetrics['text'], { host, port }: Address): MetricsListener {
  let app: FastifyInstance | undefined
  return {
    keepListening: async () => {
      if (app) return
      const opened = listener(text)
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

function listener(text: OpenMetrics['text']): FastifyInstance {
  const app = fastify({
    // Node.js cuts off no connection once it closes, and a monitoring system can ask again.
    forceCloseConnections: true,
    http: { headersTimeout: 10_000 },
    requestTimeout: 15_000,
    schemaController: { compilersFactory: noSchemas },
  })
  app.setNotFoundHandler((_request, reply) => reply.code(404).type('text/plain').send('see /metrics\n'))
  app.get('/metrics', async (_request, reply) => {
    reply.header('cache-control', 'no-store').type(Registry.PROMETHEUS_CONTENT_TYPE)
    return text()
  })
  return app
}

function registryOf(metrics: readonly Metric[]): Registry {
  const registry = new Registry()
  for (const same of Map.groupBy(metrics, metric => metric.name).values()) {
    const [first] = same
    if (first?.kind === 'histogram') addLatency(registry, first)
    else if (first?.kind === 'counter') new Counter(optionsOf(registry, same))
    else new Gauge(optionsOf(registry, same))
  }
  return registry
}

/** The values are kept elsewhere, as plain numbers, and read when somebody asks. */
function optionsOf(registry: Registry, same: readonly Metric[]) {
  const shown = same.filter(metric => metric.kind !== 'histogram')
  const [{ name, help, labels, across = 'sum' as const } = { name: '', help: '', labels: [] }] = shown
  return {
    aggregator: across,
    name,
    help,
    labelNames: labels,
    registers: [registry],
    collect(this: Counter | Gauge) {
      this.reset()
      for (const { samples } of shown) for (const [of, value] of samples()) this.inc(of, value)
    },
  }
}

/** A histogram whose buckets are kept elsewhere: prom-client's own would cost each commit a microsecond. */
function addLatency(registry: Registry, { name, help, latency, bounds }: HistogramMetric): void {
  const histogram = new Histogram({ name, help, buckets: [...bounds], registers: [registry] })
  const get = async () => {
    let count = 0
    const buckets = latency.counts.map((inBucket, i) => {
      count += inBucket
      return { metricName: `${name}_bucket`, labels: { le: bounds[i] ?? '+Inf' }, value: count }
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
