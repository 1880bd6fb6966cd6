import cluster from 'node:cluster'
import process from 'node:process'
import type { Measured } from '../jobs/metrics.ts'
import type { EndSignal, OnSignal } from '../signals.ts'

/** What a worker says to the primary. */
export type FromWorker =
  | { readonly kind: 'serving'; readonly url: string }
  | { readonly kind: 'metrics'; readonly metrics: Measured }

/** What the primary says to a worker. */
export type ToWorker =
  | { readonly kind: 'team'; readonly isComplete: boolean }
  | { readonly kind: 'measure' }
  | { readonly kind: 'end'; readonly signal: EndSignal }

/** The workers that make one server together, as one of them sees them. */
export interface Team {
  /** The number of this one, unlike those of all before it; undefined where the server is one process. */
  readonly worker: number | undefined
  /** How many there should be. */
  readonly workers: number
  /** Whether all workers that there should be serve. */
  isComplete(): boolean
  /** Tells the primary where this one serves. */
  tellServing(url: string): void
  /** Has the metrics told whenever the primary asks; the answer tells them by itself. */
  tellMetrics(measure: () => Promise<Measured>): () => Promise<void>
  /** The signals that end this one: its own, and those of the primary. */
  endedBy(onSignal: OnSignal): OnSignal
  /** Nothing keeps this process from its end any more. */
  leave(): void
}

/** A server of one process. */
export const alone: Team = {
  worker: undefined,
  workers: 1,
  isComplete: () => true,
  tellServing: () => {},
  tellMetrics: () => async () => {},
  endedBy: onSignal => onSignal,
  leave: () => {},
}

/** Whether this process was started by a primary. */
export const isWorker = (): boolean => cluster.isWorker

/** Joins the team of the primary that has started this process. */
export function joinTeam(workers: number): Team {
  let isComplete = false
  let measureNow = async () => {}
  let end: ((signal: EndSignal) => void) | undefined
  let endSignal: EndSignal | undefined
  process.on('message', (message: ToWorker) => {
    if (message.kind === 'team') isComplete = message.isComplete
    else if (message.kind === 'measure') void measureNow()
    else {
      endSignal = message.signal
      end?.(message.signal)
    }
  })
  return {
    worker: cluster.worker?.id,
    workers,
    isComplete: () => isComplete,
    tellServing: url => void tell({ kind: 'serving', url }),
    tellMetrics: measure => {
      measureNow = async () => tell({ kind: 'metrics', metrics: await measure() })
      return measureNow
    },
    // A terminal sends Ctrl-C to all processes, and the primary passes it on: both are one. So the signals
    // stay taken here.
    endedBy: onSignal => handle => {
      end = handle
      if (endSignal) handle(endSignal)
      return onSignal(handle)
    },
    // Not by the process: that would end it at once, and as if all were well.
    leave: () => void (process.connected && cluster.worker?.disconnect()),
  }
}

/** A primary that has gone hears nothing, and this process ends with it. */
async function tell(message: FromWorker): Promise<void> {
  if (!process.connected) return
  await new Promise<void>(resolve => process.send?.(message, undefined, undefined, () => resolve()))
}
