/** One value, with its labels. */
export type Sample = readonly [labels: Readonly<Record<string, string>>, value: number]

/** Something that a service shows, read when somebody looks. Several of one name are shown as one. */
export type Metric = Samples | HistogramMetric

interface Samples {
  /** Whether it only grows. */
  readonly kind: 'counter' | 'gauge'
  readonly name: string
  readonly help: string
  readonly labels: readonly string[]
  /** What the workers of one server show together: the sum, unless each shows the same. */
  readonly across?: 'max' | 'min'
  readonly samples: () => Iterable<Sample>
}

export interface HistogramMetric {
  readonly kind: 'histogram'
  readonly name: string
  readonly help: string
  /**
   * How many took at most so long as each bound says, and longer than the bound before; the last one: still
   * longer.
   */
  readonly latency: { readonly counts: readonly number[]; readonly sumSeconds: number }
  /** In seconds. */
  readonly bounds: readonly number[]
}

/** Makes the gauge of one number. */
export function gauge(name: string, help: string, value: () => number, across?: 'max' | 'min'): Metric {
  return { kind: 'gauge', name, help, labels: [], ...(across && { across }), samples: () => [[{}, value()]] }
}

/** Makes the gauge of one of the queues in which something waits. */
export function queueLength(queue: string, value: () => number): Metric {
  return {
    kind: 'gauge',
    name: 'mintmark_queue_length',
    help: 'How many wait: for a hash, a commit, a connection; entries of the audit trail; work after an answer; mails',
    labels: ['queue'],
    samples: () => [[{ queue }, value()]],
  }
}
