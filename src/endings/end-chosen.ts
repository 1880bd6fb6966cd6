import type { End } from '../../db/sessions/end-reasons.ts'
import {
  listSessions,
  revokeSessions,
  type ListedSession,
  type SessionFilter,
} from '../../db/sessions/pages.ts'
import { listSignIns, type SignInFilter } from '../../db/users/sign-in-pages.ts'
import type { Event } from '../record/events.ts'
import { record, type Recorder } from '../record/record.ts'
import { endSignIns } from './end-sign-ins.ts'
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

/**
 * Ends the living sessions that are chosen, one batch after the other, which stops no log-in under way. Rests
 * after each batch as long as it took.
 */
export async function endChosenSessions(
  by: Recorder,
  filter: SessionFilter,
  { total, signal, onProgress, beforeLines }: ChosenEndOptions,
): Promise<FinishedWork> {
  const { db, clock } = by
  const at = clock.now()
  let ended = 0
  let batch: ListedSession[] = []
  const flush = async () => {
    if (batch.length === 0) return
    const startedAt = clock.steady()
    const ids = batch.map(({ id }) => id)
    beforeLines?.()
    const revoked = await record(
      by,
      (revoked: readonly Buffer[]) => eventsOf(batch, revoked, { at, isOneOfMany: total > linesMax }),
      writer => revokeSessions(writer, ids, { now: at, reason: 'command' } satisfies End),
    )
    batch = []
    ended += revoked.length
    onProgress?.(ended)
    await clock.pause(clock.steady() - startedAt, signal)
  }
  for await (const session of listSessions(db, { ...filter, livingAt: at })) {
    batch.push(session)
    if (batch.length === batchSize) await flush()
    if (signal?.aborted) return { ended, isDone: false }
  }
  await flush()
  return { ended, isDone: true }
}

/**
 * Ends the sign-ins that are chosen, and their sessions, in the same way: also those of which a restored
 * backup has left the sessions alone.
 */
export async function endChosenSignIns(
  by: Recorder,
  filter: Omit<SignInFilter, 'livingAt'>,
  { total, signal, onProgress, beforeLines }: ChosenEndOptions,
): Promise<FinishedWork> {
  const { db, clock } = by
  let ended = 0
  let batch: Buffer[] = []
  const flush = async () => {
    if (batch.length === 0) return
    const startedAt = clock.steady()
    beforeLines?.()
    ended += await endSignIns(by, batch, { reason: 'command', isOneOfMany: total > linesMax })
    batch = []
    onProgress?.(ended)
    await clock.pause(clock.steady() - startedAt, signal)
  }
  for await (const { id } of listSignIns(db, { ...filter, livingAt: clock.now(), withLeft: true })) {
    batch.push(id)
    if (batch.length === batchSize) await flush()
    if (signal?.aborted) return { ended, isDone: false }
  }
  await flush()
  return { ended, isDone: true }
}

function eventsOf(
  batch: readonly ListedSession[],
  revoked: readonly Buffer[],
  facts: { readonly at: number; readonly isOneOfMany: boolean },
): readonly Event[] {
  return batch
    .filter(({ id }) => revoked.some(other => other.equals(id)))
    .map(({ id: sessionId, user_id: userId, client_id: clientId }) => ({
      event: 'session_revoked',
      sessionId,
      userId,
      clientId,
      detail: { reason: 'command' },
      ...facts,
    }))
}
