import { withdrawConsent as withdrawConsentRows } from '../../db/users/consents.ts'
import {
  endSignIns as endSignInRows,
  endSignInsOfBrowser,
  type EndedSessionRow,
  type EndedSignIn,
  type SeenSignIn,
} from '../../db/users/sign-in-ends.ts'
import { record, type Recorder } from '../record/record.ts'
import { eventsOfSessions, eventsOfSignIn } from './ended-events.ts'

/** Why a sign-in ends, and with it the sessions that came from it without `offline_access`. */
export type SignInEndReason = 'log-out' | 'another user logged in' | 'limit' | 'command' | 'ended by its user'

/**
 * Ends a sign-in and any others that its user has in the same browser, and the sessions that end with them;
 * false when they have ended before.
 */
export async function endSignIn(by: Recorder, seen: SeenSignIn, reason: SignInEndReason): Promise<boolean> {
  const end = { now: by.clock.now(), reason }
  const ended = await record(
    by,
    (ended: readonly EndedSignIn[]) => ended.flatMap(one => eventsOfSignIn(one, end)),
    db => endSignInsOfBrowser(db, seen, end),
  )
  return ended !== undefined
}

/** Ends a bounded number of sign-ins in one transaction, and returns how many had not ended before. */
export async function endSignIns(
  by: Recorder,
  ids: readonly Buffer[],
  { reason, isOneOfMany = false }: { readonly reason: SignInEndReason; readonly isOneOfMany?: boolean },
): Promise<number> {
  const end = { now: by.clock.now(), reason }
  const ended = await record(
    by,
    (ended: readonly EndedSignIn[]) => ended.flatMap(one => eventsOfSignIn(one, end, isOneOfMany)),
    db => endSignInRows(db, ids, end),
  )
  return ended?.length ?? 0
}

/**
 * Takes back what a user has allowed a client, for any resource, and ends the user's sessions through it;
 * false when nothing was allowed.
 */
export async function withdrawConsent(
  by: Recorder,
  { userId, clientId }: { readonly userId: Buffer; readonly clientId: string },
): Promise<boolean> {
  const end = { now: by.clock.now(), reason: 'consent withdrawn' } as const
  const ended = await record(
    by,
    (sessions: readonly EndedSessionRow[]) => [
      { event: 'consent_withdrawn', userId, clientId },
      ...eventsOfSessions(
        sessions.map(({ id: sessionId }) => ({ sessionId, userId, clientId })),
        end,
      ),
    ],
    db => withdrawConsentRows(db, { userId, clientId }, end),
  )
  return ended !== undefined
}
