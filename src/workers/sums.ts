import { AggregatorRegistry, type Registry } from 'prom-client'
import type { Measured } from '../jobs/metrics.ts'

/** Adds up what workers have measured, also those that have ended. */
export interface Sums {
  /** Takes in the latest measures of a worker. */
  note(worker: number, metrics: Measured): void
  /** Keeps the counts of a worker that has ended, and forgets the rest. */
  leave(worker: number): Promise<void>
  /** In Prometheus's text format, with what the primary has measured. */
  text(own: Measured): Promise<string>
}

export function openSums(): Sums {
  const latest = new Map<number, Measured>()
  let past: Measured = []
  return {
    note: (worker, metrics) => void latest.set(worker, metrics),
    leave: async worker => {
      const counted = latest.get(worker)?.filter(({ type }) => isCounted(type))
      latest.delete(worker)
      if (counted) past = await sumOf([past, counted]).getMetricsAsJSON()
    },
    text: async own => sumOf([...latest.values(), past, own]).metrics(),
  }
}

/** Of those that only grow, a sum without a process that has ended would look like a restart of all. */
function isCounted(type: unknown): boolean {
  return type === 'counter' || type === 'histogram'
}

function sumOf(measured: readonly Measured[]): Registry {
  return AggregatorRegistry.aggregate([...measured])
}
