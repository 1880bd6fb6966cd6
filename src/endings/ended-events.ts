import type { End } from '../../db/sessions/end-reasons.ts'
import type { EndedSignIn } from '../../db/users/sign-in-ends.ts'
import { formatUuid } from '../protocol/secrets.ts'
import type { EndedSession, Event } from '../record/events.ts'

/** What is recorded of sessions that have ended. */
export function eventsOfSessions(
  sessions: readonly Pick<EndedSession, 'sessionId' | 'userId' | 'clientId'>[],
  { now: at, reason }: End,
  isOneOfMany = false,
): readonly Event[] {
  return sessions.map(session => ({
    event: 'session_revoked',
    ...session,
    at,
    detail: { reason },
    isOneOfMany,
  }))
}

/** What is recorded of a sign-in that has ended with its sessions. */
export function eventsOfSignIn(
  { id, userId, sessions }: EndedSignIn,
  end: End,
  isOneOfMany = false,
): readonly Event[] {
  const ended = sessions.map(({ id: sessionId, clientId }) => ({ sessionId, userId, clientId }))
  return [
    { event: 'sign_in_ended', userId, detail: { sign_in: formatUuid(id), reason: end.reason } },
    ...eventsOfSessions(ended, end, isOneOfMany),
  ]
}
