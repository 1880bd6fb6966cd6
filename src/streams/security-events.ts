import type {
  AssuranceChange,
  CredentialChange,
  EndedDetail,
  ManyDetail,
} from '../../db/push/announcements.ts'
import type { EventRow } from '../../db/push/events.ts'
import { levels, type Level } from '../protocol/levels.ts'
import { formatUuid } from '../protocol/secrets.ts'
import {
  eventTypes,
  type EventTypeName,
  type SecurityEvent,
  type SimpleSubject,
} from '../protocol/security-events.ts'
import type { Audience } from '../push/messages.ts'
import { causeOf } from './causes.ts'

/** Some sessions of the user may go on: so those that have ended are named. */
const namingReasons: readonly string[] = ['password changed', 'ended by its user']

/**
 * What an event of the outbox is as security events (CAEP 1.0, RISC 1.0), for receivers that may be told of
 * these resources. docs/revocation.md has it as a table.
 */
export function securityEventsOf(
  row: EventRow,
  { issuer, audience }: { readonly issuer: string; readonly audience: Audience },
): readonly SecurityEvent[] {
  // A copy has no receivers, and the original goes on.
  if (!audience.isAmong(row.audiences) || row.reason === 'copied') return []
  const { kind, user_id, client_id, session_id } = row
  const named = (sub: string): SimpleSubject => ({ format: 'iss_sub', iss: issuer, sub })
  const user = user_id && named(formatUuid(user_id))
  const application = client_id === null ? undefined : named(client_id)
  const ofSession = (id: Buffer): SecurityEvent => {
    const session: SimpleSubject = { format: 'opaque', id: formatUuid(id) }
    // Of a machine there is no user.
    const owner = user ? { user } : application && { application }
    return event(row, 'session-revoked', { format: 'complex', ...owner, session })
  }
  switch (kind) {
    case 'session':
      return session_id ? [ofSession(session_id)] : []
    case 'user':
      return user ? ofUser(row, user, endedFor(row, audience).map(ofSession)) : []
    case 'client':
      return application ? [event(row, 'session-revoked', { format: 'complex', application })] : []
    case 'all':
      return [event(row, 'session-revoked', { format: 'complex', tenant: { format: 'opaque', id: issuer } })]
    case 'credential':
      return user ? [event(row, 'credential-change', user, credentialMembers(detailOf(row)))] : []
    case 'assurance':
      return user ? [event(row, 'assurance-level-change', user, assuranceMembers(detailOf(row)))] : []
    case 'account':
      return user ? [event(row, 'account-enabled', user)] : []
    case 'sessions': // Each of them has come as one, where there were streams when they ended.
    case 'sign_in':
      return []
  }
}

/** Of many sessions that have ended, an event for each, as if it had ended alone; any other is one. */
export function eachOfMany(row: EventRow): readonly EventRow[] {
  if (row.kind !== 'sessions' || row.detail === null) return [row]
  const { sessions }: ManyDetail = JSON.parse(row.detail)
  return sessions.map(([id, userId, client_id, audiences]) => ({
    ...row,
    kind: 'session' as const,
    session_id: Buffer.from(id, 'hex'),
    user_id: userId === null ? null : Buffer.from(userId, 'hex'),
    client_id,
    audiences,
    detail: null,
  }))
}

/** What is told of a user whose sessions have ended. */
function ofUser(
  row: EventRow,
  user: SimpleSubject,
  sessions: readonly SecurityEvent[],
): readonly SecurityEvent[] {
  const { reason } = row
  const ended = namingReasons.includes(reason) ? sessions : [event(row, 'session-revoked', user)]
  if (reason === 'user disabled') return [event(row, 'account-disabled', user), ...ended]
  if (reason === 'user deleted') return [event(row, 'account-purged', user), ...ended]
  if (reason !== 'password changed') return ended
  const members = { credential_type: 'password', change_type: 'update' }
  return [event(row, 'credential-change', user, members), ...ended]
}

/** The sessions that the row names, and that the audience may know of. */
function endedFor(row: EventRow, audience: Audience): readonly Buffer[] {
  const { sessions } = detailOf<EndedDetail>(row)
  return sessions.flatMap(([id, audiences]) => (audience.isAmong(audiences) ? [Buffer.from(id, 'hex')] : []))
}

function detailOf<Detail>({ detail }: EventRow): Detail {
  return JSON.parse(detail ?? '{}') as Detail
}

function event(
  { at, reason }: EventRow,
  name: EventTypeName,
  subject: SecurityEvent['subject'],
  members: SecurityEvent['members'] = {},
): SecurityEvent {
  const type = eventTypes[name]
  // RISC 1.0 §2 knows no such members.
  if (type.includes('/risc/')) return { type, subject, members }
  const { initiator, text } = causeOf(reason)
  const common = {
    event_timestamp: at,
    ...(initiator && { initiating_entity: initiator }),
    reason_admin: { en: text },
  }
  return { type, subject, members: { ...members, ...common } }
}

/** CAEP 1.0 §3.3.1; recovery codes have no name there. */
const credentialTypes: Readonly<Record<CredentialChange['credential'], string>> = {
  passkey: 'fido2-platform',
  totp: 'app',
  recovery_codes: 'recovery-codes',
}

const changeTypes: Readonly<Record<CredentialChange['change'], string>> = {
  added: 'create',
  removed: 'delete',
  renewed: 'update',
}

function credentialMembers({ credential, change }: CredentialChange) {
  return { credential_type: credentialTypes[credential], change_type: changeTypes[change] }
}

/** CAEP 1.0 §3.4.1, with the values of the claim `acr` of our tokens. */
function assuranceMembers({ acr, previous_acr }: AssuranceChange) {
  const rank = (level: string) => levels.indexOf(level as Level)
  return {
    namespace: 'acr',
    current_level: acr,
    previous_level: previous_acr,
    change_direction: rank(acr) > rank(previous_acr) ? 'increase' : 'decrease',
  }
}
