import { OAuthError } from '../errors.ts'
import { openSourceQuota } from '../load/source-quota.ts'
import { countOne } from '../record/counts.ts'
import { gauge, type Metric } from '../upkeep/metric.ts'
import type { Listener } from './deliveries.ts'

/** Why a stream ends: by whom, or since its time is over, or its client may not listen any more. */
export type StreamEnd = 'closed' | 'expired' | 'client' | 'slow' | 'server'

/** Those who listen. */
export interface Present {
  all(): ReadonlySet<Listener>
  has(listener: Listener): boolean
  /** Lets a listener of the client come, while there is a place for it; throws `temporarily_unavailable`. */
  admit(clientId: string, come: () => Promise<Listener>): Promise<void>
  add(listener: Listener): void
  end(listener: Listener, reason: StreamEnd): void
  /** Has all go elsewhere. */
  endAll(): void
  readonly metrics: readonly Metric[]
}

export const tooMany = new OAuthError(
  'temporarily_unavailable',
  'too many listen already, or this server is about to end: come again',
  { cause: new Error('there are too many streams of events'), retryAfter: 5 },
)

export function openPresent(max: number): Present {
  const present = new Set<Listener>()
  const quota = openSourceQuota(max)
  const ended = new Map<StreamEnd, number>()
  let coming = 0

  const end = (listener: Listener, reason: StreamEnd) => {
    if (!present.delete(listener)) return
    quota.giveBack(listener.client.id)
    countOne(ended, reason)
    listener.stream.end()
  }
  return {
    all: () => present,
    has: listener => present.has(listener),
    admit: async (clientId, come) => {
      if (present.size + coming >= max || !quota.take(clientId)) throw tooMany
      let listener: Listener | undefined
      coming++
      try {
        listener = await come()
      } finally {
        coming--
        if (!listener) quota.giveBack(clientId)
      }
    },
    add: listener => void present.add(listener),
    end,
    endAll: () => {
      for (const listener of present) end(listener, 'server')
    },
    metrics: [
      gauge('mintmark_listeners', 'Streams of events that are open', () => present.size),
      {
        kind: 'counter',
        name: 'mintmark_listeners_ended_total',
        help: 'Streams of events that have ended, by why: slow ones took nothing for half a minute',
        labels: ['reason'],
        samples: () => [...ended].map(([reason, count]) => [{ reason }, count]),
      },
    ],
  }
}
