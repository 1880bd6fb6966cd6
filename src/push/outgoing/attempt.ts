import type { Delivery } from '../../../db/push/deliveries.ts'
import type { Reach } from '../../clients/reach.ts'
import type { Clock } from '../../clock.ts'
import type { Outcome, Receiver } from './kind.ts'
import { openPoster, type Poster } from './post.ts'

/** How many are on their way to one receiver at the same time. */
export const connectionsMax = 8

/** No more are begun after that, so that the claim outlasts those that are under way. */
const beginSeconds = 30

export interface Attempt {
  readonly delivery: Delivery
  readonly outcome: Outcome
}

/** After that, its name is asked for anew: it may have moved. */
const posterSeconds = 30

/** Attempts to deliver to one receiver, over connections that are kept between them. */
export interface Attempts {
  /**
   * Tries to deliver each, and ends early where none gets through. Those that are not among the answers were
   * not tried.
   */
  all(deliveries: readonly Delivery[]): Promise<readonly Attempt[]>
  close(): void
}

export function openAttempts(
  { reach, clock }: { readonly reach: Reach; readonly clock: Clock },
  receiver: Receiver,
  signal: AbortSignal,
): Attempts {
  let open: { readonly poster: Poster; readonly until: number } | undefined
  const close = () => {
    open?.poster.close()
    open = undefined
  }
  const posterNow = async () => {
    const now = clock.steady()
    if (open && now >= open.until) close()
    open ??= {
      poster: await openPoster(receiver.url, reach, { connectionsMax, signal }),
      until: now + posterSeconds,
    }
    return open.poster
  }
  return {
    all: async deliveries => {
      const [first] = deliveries
      if (!first) return []
      let poster: Poster
      try {
        poster = await posterNow()
      } catch (error) {
        return signal.aborted ? [] : [{ delivery: first, outcome: failed(error) }]
      }
      return attemptAll(clock, receiver, deliveries, { poster, signal })
    },
    close,
  }
}

interface By {
  readonly poster: Poster
  readonly signal: AbortSignal
}

async function attemptAll(
  clock: Clock,
  receiver: Receiver,
  deliveries: readonly Delivery[],
  by: By,
): Promise<readonly Attempt[]> {
  const attempts: Attempt[] = []
  const waiting = [...deliveries]
  const startedAt = clock.steady()
  const isHopeless = () =>
    attempts.length >= connectionsMax && attempts.every(({ outcome }) => outcome.kind === 'failed')
  const isOver = () => by.signal.aborted || isHopeless() || clock.steady() - startedAt > beginSeconds
  const work = async () => {
    while (!isOver()) {
      const delivery = waiting.shift()
      if (!delivery) return
      const outcome = await attempt(receiver, delivery, by)
      if (outcome) attempts.push({ delivery, outcome })
    }
  }
  await Promise.all(Array.from({ length: connectionsMax }, work))
  return attempts
}

/** Undefined where it was not tried, which is no fault of the receiver. */
async function attempt(
  receiver: Receiver,
  delivery: Delivery,
  { poster, signal }: By,
): Promise<Outcome | undefined> {
  const post = await receiver.postOf(delivery).catch(() => null)
  if (post === null) return undefined
  if (post === undefined) return { kind: 'dropped' }
  try {
    return receiver.outcomeOf(await poster.post(post))
  } catch (error) {
    return signal.aborted ? undefined : failed(error)
  }
}

const reasonMax = 200

/** Errors of connections name hosts and addresses, and nothing that was sent. */
function failed(error: unknown): Outcome {
  const { message, name } = error instanceof Error ? error : new Error(String(error))
  // Of the two signals, the server's own is looked at before.
  const isLate = name === 'TimeoutError' || name === 'AbortError'
  const reason = isLate ? 'it did not answer in time' : message || name
  return { kind: 'failed', reason: reason.slice(0, reasonMax) }
}
