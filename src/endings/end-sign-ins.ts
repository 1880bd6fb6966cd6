import type { End } from '../../db/sessions/end-reasons.ts'
import { withdrawConsent as withdrawConsentRows } from '../../db/users/consents.ts'
import {
  endSignIns as endSignInRows,
  endSignInsOfBrowser,
  type EndedSessionRow,
  type EndedSignIn,
  type SeenSignIn,
} from '../../db/users/sign-in-ends.ts'
import { formatUuid } from '../protocol/secrets.ts'
import type { Event } from '../record/events.ts'
import { record, type Recorder } from '../record/record.ts'

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

/** What is recorded of a sign-in that has ended with its sessions. */
export function eventsOfSignIn(
  { id, userId, sessions }: EndedSignIn,
  end: End,
  isOneOfMany = false,
): readonly Event[] {
  return [
    { event: 'sign_in_ended', userId, detail: { sign_in: formatUuid(id), reason: end.reason } },
    ...eventsOfSessions(sessions, userId, end, isOneOfMany),
  ]
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
      ...eventsOfSessions(sessions, userId, end),
    ],
    db => withdrawConsentRows(db, { userId, clientId }, end),
  )
  return ended !== undefined
}

function eventsOfSessions(
  sessions: readonly EndedSessionRow[],
  userId: Buffer,
  { now: at, reason }: End,
  isOneOfMany = false,
): readonly Event[] {
  return sessions.map(({ id: sessionId, clientId }) => ({
    event: 'session_revoked',
    userId,
    clientId,
    sessionId,
    at,
    detail: { reason },
    isOneOfMany,
  }))
}
