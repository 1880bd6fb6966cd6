import {
  listSessions,
  revokeSessions,
  type ListedSession,
  type SessionFilter,
} from '../../db/sessions/pages.ts'
import { listSignIns, type SignInFilter } from '../../db/users/sign-in-pages.ts'
import { record, type Recorder } from '../record/record.ts'
import { endSignIns } from './end-sign-ins.ts'
import { eventsOfSessions } from './ended-events.ts'
import type { FinishedWork } from './finish.ts'

/** How many are ended in one transaction: few enough that nothing waits long for it. */
const batchSize = 200

/** With more, the log has a line for each batch and not for each session. */
const linesMax = 1000

export interface ChosenEndOptions {
  /** How many there are, about. */
  readonly total: number
  /** Ends the work after the batch that is under way. */
  readonly signal?: AbortSignal
  /** Told after each batch how many sessions have ended so far. */
  readonly onProgress?: (ended: number) => void
  /** Called before the log has lines of a batch. */
  readonly beforeLines?: () => void
}

/** Ends the living sessions that are chosen, which stops no log-in under way. */
export async function endChosenSessions(
  by: Recorder,
  filter: SessionFilter,
  options: ChosenEndOptions,
): Promise<FinishedWork> {
  const end = { now: by.clock.now(), reason: 'command' } as const
  const chosen = listSessions(by.db, { ...filter, livingAt: end.now })
  return endInBatches(by, chosen, options, async (batch, isOneOfMany) => {
    const revoked = await record(
      by,
      (revoked: readonly Buffer[]) => eventsOfSessions(factsOf(batch, revoked), end, isOneOfMany),
      writer =>
        revokeSessions(
          writer,
          batch.map(({ id }) => id),
          end,
        ),
    )
    return revoked.length
  })
}

/**
 * Ends the sign-ins that are chosen, and their sessions: also those of which a restored backup has left the
 * sessions alone.
 */
export async function endChosenSignIns(
  by: Recorder,
  filter: Omit<SignInFilter, 'livingAt'>,
  options: ChosenEndOptions,
): Promise<FinishedWork> {
  const chosen = listSignIns(by.db, { ...filter, livingAt: by.clock.now(), withLeft: true })
  return endInBatches(by, chosen, options, (batch, isOneOfMany) =>
    endSignIns(
      by,
      batch.map(({ id }) => id),
      { reason: 'command', isOneOfMany },
    ),
  )
}

/** One batch after the other. Rests after each as long as it took. */
async function endInBatches<T>(
  { clock }: Recorder,
  chosen: AsyncIterable<T>,
  { total, signal, onProgress, beforeLines }: ChosenEndOptions,
  endBatch: (batch: readonly T[], isOneOfMany: boolean) => Promise<number>,
): Promise<FinishedWork> {
  let ended = 0
  let batch: T[] = []
  const flush = async () => {
    if (batch.length === 0) return
    const startedAt = clock.steady()
    beforeLines?.()
    ended += await endBatch(batch, total > linesMax)
    batch = []
    onProgress?.(ended)
    await clock.pause(clock.steady() - startedAt, signal)
  }
  for await (const one of chosen) {
    batch.push(one)
    if (batch.length === batchSize) await flush()
    if (signal?.aborted) return { ended, isDone: false }
  }
  await flush()
  return { ended, isDone: true }
}

/** Those of the sessions that were revoked. */
export function factsOf(batch: readonly ListedSession[], revoked: readonly Buffer[]) {
  return batch
    .filter(({ id }) => revoked.some(other => other.equals(id)))
    .map(({ id: sessionId, user_id: userId, client_id: clientId }) => ({ sessionId, userId, clientId }))
}
