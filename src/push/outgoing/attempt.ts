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

/**
 * Tries to deliver each, and ends early where none gets through. Those that are not among the answers were
 * not tried.
 */
export async function attemptAll(
  on: { readonly reach: Reach; readonly clock: Clock },
  receiver: Receiver,
  deliveries: readonly Delivery[],
  signal: AbortSignal,
): Promise<readonly Attempt[]> {
  const attempts: Attempt[] = []
  const waiting = [...deliveries]
  const startedAt = on.clock.steady()
  const isHopeless = () =>
    attempts.length >= connectionsMax && attempts.every(({ outcome }) => outcome.kind === 'failed')
  const isOver = () => signal.aborted || isHopeless() || on.clock.steady() - startedAt > beginSeconds
  const work = async (poster: Poster) => {
    while (!isOver()) {
      const delivery = waiting.shift()
      if (!delivery) return
      const outcome = await attempt(receiver, delivery, poster, signal)
      if (outcome) attempts.push({ delivery, outcome })
    }
  }
  let poster: Poster
  try {
    poster = await openPoster(receiver.url, on.reach, { connectionsMax, signal })
  } catch (error) {
    const [first] = deliveries
    return first && !signal.aborted ? [{ delivery: first, outcome: failed(error) }] : []
  }
  try {
    await Promise.all(Array.from({ length: connectionsMax }, () => work(poster)))
  } finally {
    poster.close()
  }
  return attempts
}

/** Undefined where it was not tried, which is no fault of the receiver. */
async function attempt(
  receiver: Receiver,
  delivery: Delivery,
  poster: Poster,
  signal: AbortSignal,
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
