import type { AnnouncedThing, Announcement, CredentialChange } from '../../db/push/announcements.ts'
import { acrOf } from '../protocol/levels.ts'
import { newUuid } from '../protocol/secrets.ts'
import type { Event, EventName } from './events.ts'

/** What is announced of an event, and why it has happened. */
type Announced = AnnouncedThing & { readonly reason: string }

/**
 * What those are told who follow the announcements: every end of a session, a sign-in, or of all of a user or
 * client, and every change of a credential. docs/revocation.md has the same as a table.
 */
export function announcementsOf(events: readonly Event[], now: number): readonly Announcement[] {
  const many = events.filter(event => event.event === 'session_revoked').filter(isOneOfMany)
  const [first] = many
  const together: readonly Announced[] = first
    ? [{ kind: 'sessions', sessionIds: many.map(({ sessionId }) => sessionId), reason: first.detail.reason }]
    : []
  const each = events.flatMap(event => announcedOf(event) ?? [])
  return [...each, ...together].map(announced => ({ id: newUuid(now), at: now, ...announced }))
}

const isOneOfMany = (event: Event<'session_revoked'>) => 'isOneOfMany' in event && event.isOneOfMany === true

/** By the name of the event, so that each name is decided about. */
const announcers: {
  readonly [Name in EventName]: ((event: Event<Name>) => Announced | undefined) | 'nothing'
} = {
  session_theft: ({ sessionId }) => ({ kind: 'session', sessionId, reason: 'theft' }),
  code_replayed: ({ sessionId }) => ({ kind: 'session', sessionId, reason: 'code used twice' }),
  session_revoked: event => {
    if (isOneOfMany(event)) return undefined
    return { kind: 'session', sessionId: event.sessionId, reason: event.detail.reason }
  },
  sign_in_ended: ({ userId, detail: { sign_in, reason } }) => ({
    kind: 'sign_in',
    userId,
    detail: { sign_in },
    reason,
  }),
  user_revoked: event => ofUser(event, 'ended' in event ? event.ended : event.detail),
  user_password_changed: event => ofUser(event, event.ended),
  user_disabled: event => ofUser(event, event.ended),
  user_deleted: event => ofUser(event, event.ended),
  client_revoked: event => {
    const { reason } = 'ended' in event ? event.ended : event.detail
    return event.clientId === null
      ? { kind: 'all', reason }
      : { kind: 'client', clientId: event.clientId, reason }
  },
  client_disabled: ({ clientId, ended: { reason } }) => ({ kind: 'client', clientId, reason }),
  client_deleted: ({ clientId, resources, ended: { reason } }) => ({
    kind: 'client',
    clientId,
    resources,
    reason,
  }),
  // Not the reason that was typed, which is for the log.
  all_keys_revoked: () => ({ kind: 'all', reason: 'keys revoked' }),
  issuer_changed: event => ({ kind: 'all', reason: 'ended' in event ? event.ended.reason : 'copied' }),
  user_enabled: ({ userId }) => ({ kind: 'account', userId, reason: 'user enabled' }),
  sign_in_renewed: ({ userId, detail: { amr, amr_before } }) => {
    const [acr, previous_acr] = [acrOf(amr.split(' ')), acrOf(amr_before.split(' '))]
    if (acr === undefined || previous_acr === undefined || acr === previous_acr) return undefined
    return { kind: 'assurance', userId, detail: { acr, previous_acr }, reason: 'logged in again' }
  },
  passkey_added: event => ofCredential(event, 'passkey', 'added'),
  passkey_removed: event => ofCredential(event, 'passkey', 'removed'),
  totp_added: event => ofCredential(event, 'totp', 'added'),
  totp_removed: event => ofCredential(event, 'totp', 'removed'),
  recovery_codes_renewed: event => ofCredential(event, 'recovery_codes', 'renewed'),
  recovery_codes_removed: event => ofCredential(event, 'recovery_codes', 'removed'),
  log_in: 'nothing',
  log_in_failed: 'nothing',
  log_in_throttled: 'nothing',
  client_refused: 'nothing',
  assertion_accepted: 'nothing',
  assertion_refused: 'nothing',
  client_throttled: 'nothing',
  sign_in_started: 'nothing',
  consent_granted: 'nothing',
  // The sessions that end with it have events of their own.
  consent_withdrawn: 'nothing',
  device_approved: 'nothing',
  device_denied: 'nothing',
  user_code_failed: 'nothing',
  user_code_throttled: 'nothing',
  passkey_renamed: 'nothing',
  passkey_counter_back: 'nothing',
  machine_session_started: 'nothing',
  user_impersonated: 'nothing',
  personal_access_token_created: 'nothing',
  session_late: 'nothing',
  session_healed: 'nothing',
  job_created: 'nothing',
  job_stopped: 'nothing',
  user_created: 'nothing',
  users_imported: 'nothing',
  users_exported: 'nothing',
  users_export_ended: 'nothing',
  user_changed: 'nothing',
  user_renamed: 'nothing',
  recovery_code_used: 'nothing',
  link_mailed: 'nothing',
  mailed_code_failed: 'nothing',
  mailed_code_throttled: 'nothing',
  admin_recovered: 'nothing',
  group_created: 'nothing',
  group_changed: 'nothing',
  group_deleted: 'nothing',
  client_created: 'nothing',
  client_changed: 'nothing',
  client_secret_rotated: 'nothing',
  client_keys_set: 'nothing',
  client_enabled: 'nothing',
  registration_token_created: 'nothing',
  registration_token_deleted: 'nothing',
  resource_created: 'nothing',
  resource_changed: 'nothing',
  resource_deleted: 'nothing',
  claim_created: 'nothing',
  claim_changed: 'nothing',
  claim_deleted: 'nothing',
  trusted_issuer_created: 'nothing',
  trusted_issuer_changed: 'nothing',
  trusted_issuer_deleted: 'nothing',
  stream_created: 'nothing',
  stream_changed: 'nothing',
  stream_deleted: 'nothing',
  stream_subject_added: 'nothing',
  stream_subject_removed: 'nothing',
  mail_refused: 'nothing',
  mail_failed: 'nothing',
  delivery_refused: 'nothing',
  delivery_given_up: 'nothing',
  receiver_paused: 'nothing',
  key_rotated: 'nothing',
  key_rotation_requested: 'nothing',
  // Verifiers learn of it by the key set.
  key_revoked: 'nothing',
  key_policy_changed: 'nothing',
  root_key_rotated: 'nothing',
  database_migrated: 'nothing',
  database_backed_up: 'nothing',
  database_moved: 'nothing',
  database_restored: 'nothing',
}

function announcedOf<Name extends EventName>(event: Event<Name>): Announced | undefined {
  const announce = announcers[event.event as Name] as
    ((event: Event<Name>) => Announced | undefined) | 'nothing'
  return announce === 'nothing' ? undefined : announce(event)
}

const ofUser = (
  { userId }: { readonly userId: Buffer },
  { reason }: { readonly reason: string },
): Announced => ({
  kind: 'user',
  userId,
  reason,
})

const ofCredential = (
  { userId }: { readonly userId: Buffer },
  credential: CredentialChange['credential'],
  change: CredentialChange['change'],
): Announced => ({
  kind: 'credential',
  userId,
  detail: { credential, change },
  reason: 'credential changed',
})
