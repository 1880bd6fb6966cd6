import type { KeyPolicy } from '../../db/installation/installation.ts'
import type { DeliveryKindName } from '../../db/schema.ts'
import type { EndReason } from '../../db/sessions/end-reasons.ts'
import type { RaisedClient } from '../../db/sessions/endings.ts'
import type { KeyPhase } from '../protocol/key-phase.ts'

/** The names of all events, as the audit trail shows them. */
export const eventNames = [
  'log_in',
  'log_in_failed',
  'log_in_throttled',
  'client_refused',
  'client_throttled',
  'assertion_accepted',
  'assertion_refused',
  'sign_in_started',
  'sign_in_renewed',
  'sign_in_ended',
  'consent_granted',
  'consent_withdrawn',
  'device_approved',
  'device_denied',
  'user_code_failed',
  'user_code_throttled',
  'passkey_added',
  'passkey_renamed',
  'passkey_removed',
  'passkey_counter_back',
  'machine_session_started',
  'user_impersonated',
  'personal_access_token_created',
  'session_late',
  'session_healed',
  'session_theft',
  'code_replayed',
  'session_revoked',
  'user_revoked',
  'client_revoked',
  'job_created',
  'job_stopped',
  'user_created',
  'users_imported',
  'users_exported',
  'users_export_ended',
  'user_changed',
  'user_renamed',
  'user_password_changed',
  'user_disabled',
  'totp_added',
  'totp_removed',
  'recovery_codes_renewed',
  'recovery_codes_removed',
  'recovery_code_used',
  'user_enabled',
  'link_mailed',
  'mailed_code_failed',
  'mailed_code_throttled',
  'user_deleted',
  'admin_recovered',
  'group_created',
  'group_changed',
  'group_deleted',
  'registration_token_created',
  'registration_token_deleted',
  'client_created',
  'client_changed',
  'client_secret_rotated',
  'client_keys_set',
  'client_disabled',
  'client_enabled',
  'client_deleted',
  'resource_created',
  'resource_changed',
  'resource_deleted',
  'claim_created',
  'claim_changed',
  'claim_deleted',
  'trusted_issuer_created',
  'trusted_issuer_changed',
  'trusted_issuer_deleted',
  'stream_created',
  'stream_changed',
  'stream_deleted',
  'stream_subject_added',
  'stream_subject_removed',
  'mail_refused',
  'mail_failed',
  'delivery_refused',
  'delivery_given_up',
  'receiver_paused',
  'key_rotated',
  'key_rotation_requested',
  'key_revoked',
  'all_keys_revoked',
  'key_policy_changed',
  'root_key_rotated',
  'issuer_changed',
  'database_migrated',
  'database_backed_up',
  'database_moved',
  'database_restored',
] as const

export type EventName = (typeof eventNames)[number]

/** Something that has happened, with its facts. Nothing in it is secret, or was typed by a stranger. */
export type Event<Name extends EventName = EventName> = {
  [E in Name]: { readonly event: E } & FactsOf[E]
}[Name]

/**
 * The facts of each event. `detail` is what the audit trail keeps of them beside the ids, by the names that
 * it shows. Times are seconds since the epoch.
 */
interface FactsOf {
  log_in: OfUserSession
  log_in_failed: OfClient & {
    /** Null where there is no such user. */
    readonly userId: Buffer | null
    readonly detail: { readonly reason: LogInFailure }
  }
  log_in_throttled: OfClient & {
    /** Where one factor was shown already. */
    readonly userId?: Buffer
    readonly detail: { readonly limit: LimitName }
  }
  client_refused: RefusedClient
  client_throttled: RefusedClient
  /** Of an outside issuer: it names this client, and perhaps a user in whose name that acts. */
  assertion_accepted: OfClient & {
    readonly userId: Buffer | null
    readonly detail: { readonly issuer: string; readonly subject: string }
  }
  /** The subject is there where the issuer has signed the assertion: else it is an invention. */
  assertion_refused: {
    readonly clientId: null
    readonly detail: { readonly issuer: string; readonly subject?: string; readonly reason: string }
  }
  sign_in_started: OfUser & { readonly detail: SignInFacts & { readonly persistent: boolean } }
  sign_in_renewed: OfUser & { readonly detail: SignInFacts & { readonly amr_before: string } }
  sign_in_ended: OfUser & { readonly detail: { readonly sign_in: string; readonly reason: EndReason } }
  consent_granted: OfUser &
    OfClient & { readonly detail: { readonly scope: readonly string[]; readonly resource?: string } }
  consent_withdrawn: OfUser & OfClient
  /** The session is the one that the device may start now. */
  device_approved: OfUserSession
  /** Null where it was said before a log-in. */
  device_denied: OfClient & { readonly userId: Buffer | null; readonly sessionId: Buffer }
  user_code_failed: object
  user_code_throttled: object
  passkey_added: OfUser & {
    readonly detail: PasskeyFacts & { readonly rp_id: string; readonly synced: boolean }
  }
  passkey_renamed: OfUser & { readonly detail: PasskeyFacts }
  passkey_removed: OfUser & { readonly detail: PasskeyFacts }
  /** It may have been copied (WebAuthn Level 3 §6.1.1), or its authenticator counts in another way. */
  passkey_counter_back: OfUser & {
    readonly detail: PasskeyFacts & { readonly presented: number; readonly current: number }
  }
  /** Its name is its owner's, so no trail keeps it. */
  personal_access_token_created: OfUserSession & {
    readonly detail: {
      readonly resource: string
      readonly scope: readonly string[]
      readonly amr: string
      readonly expires_at: number
    }
  }
  machine_session_started: OfClient & { readonly sessionId: Buffer }
  /** A client has got a token of the user's session that does not say so. */
  user_impersonated: OfUserSession & {
    readonly detail: { readonly resource: string; readonly scope: readonly string[] }
  }
  session_late: OfUserSession & { readonly detail: Generations }
  session_healed: OfUserSession & { readonly detail: Generations }
  session_theft: OfUserSession & {
    readonly at: number
    readonly detail: Generations & { readonly last_address: string | null }
  }
  code_replayed: OfUserSession & {
    readonly at: number
    /** The client that has presented the code again. */
    readonly detail: { readonly presented_by: string; readonly last_address: string | null }
  }
  session_revoked: EndedSession | { readonly sessionId: Buffer; readonly detail: Replay }
  user_revoked: OfUser &
    (
      | { readonly ended: EndedEpoch; readonly detail?: { readonly reason: EndReason } }
      | { readonly detail: Replay }
    )
  client_revoked: {
    /** Null for every client. */
    readonly clientId: string | null
  } & (
    | {
        readonly ended: EndedClients
        readonly detail: { readonly all: boolean; readonly reason?: EndReason }
      }
    | { readonly detail: Replay }
  )
  /** Sessions that a filter has chosen are to be ended, one after the other. */
  job_created: {
    readonly userId: Buffer | null
    readonly clientId: string | null
    readonly detail: { readonly job: string; readonly act: string; readonly choice: object }
  }
  job_stopped: { readonly detail: { readonly job: string } }
  user_created: OfUser & {
    readonly detail: Named['detail'] & {
      /** Of an old system that has said yes: where it was asked. */
      readonly from?: string
    }
  }
  /** The file by its SHA-256, and how many of its users one transaction has added. */
  users_imported: { readonly detail: { readonly file: string; readonly users: number } }
  /** An export has begun; one that goes on does so after some user. */
  users_exported: { readonly detail: { readonly with_hashes: boolean; readonly is_resumed?: boolean } }
  /** How many users were handed out, and whether the export has come to its end. */
  users_export_ended: {
    readonly detail: { readonly with_hashes: boolean; readonly users: number; readonly is_whole: boolean }
  }
  /** Of claims only the names are told: a trail outlives a user, whose data it must not keep. */
  user_changed: OfUser & {
    readonly detail: {
      readonly roles?: Changes[string]
      readonly groups?: Changes[string]
      readonly claims?: readonly string[]
    }
  }
  user_renamed: OfUser & { readonly detail: { readonly from: string; readonly to: string } }
  user_password_changed: OfUser & {
    readonly ended: EndedEpoch
    /** Where it was set by a link that was mailed. */
    readonly detail?: { readonly by: 'reset' | 'invitation' }
  }
  user_disabled: OfUser & { readonly ended: EndedEpoch }
  user_enabled: OfUser
  /** Of a sign-up there is no user yet; `have_account` went to somebody who has one. */
  link_mailed: {
    readonly userId: Buffer | null
    readonly detail: {
      readonly link: 'reset' | 'invitation' | 'verification' | 'sign_up' | 'have_account'
    }
  }
  mailed_code_failed: OfMailedCode
  /** Whose it was is not looked at any more. */
  mailed_code_throttled: OfMailedCode
  user_deleted: OfUser & Named & { readonly ended: EndedEpoch }
  /** A link was made on the host that lets an administrator in. */
  admin_recovered: OfUser & { readonly detail: { readonly factors_removed: boolean } }
  totp_added: OfUser
  totp_removed: OfUser
  recovery_codes_renewed: OfUser
  recovery_codes_removed: OfUser
  recovery_code_used: OfUser & { readonly detail: { readonly left: number } }
  group_created: OfGroup<readonly string[]>
  group_changed: OfGroup<Changes[string]>
  group_deleted: { readonly detail: { readonly group: string } }
  registration_token_created: OfRegistrationToken
  registration_token_deleted: OfRegistrationToken
  client_created: OfClient & { readonly detail?: Readonly<Record<string, unknown>> }
  client_changed: OfClient & { readonly detail: Changes }
  client_secret_rotated: OfClient & {
    readonly detail: { readonly from: string; readonly old_secret_expires_at: number | null }
  }
  client_keys_set: OfClient & {
    readonly detail: {
      readonly from: string
      readonly jwks: unknown
      readonly jwks_uri: string | null
      readonly old_secret_expires_at: number | null
    }
  }
  client_disabled: OfClient & { readonly ended: EndedEpoch }
  client_enabled: OfClient
  client_deleted: OfClient & { readonly ended: EndedEpoch; readonly resources: string }
  resource_created: OfResource
  resource_changed: OfResource
  resource_deleted: OfResource
  claim_created: OfOwnClaim
  claim_changed: OfOwnClaim
  claim_deleted: OfOwnClaim
  trusted_issuer_created: OfTrustedIssuer
  trusted_issuer_changed: OfTrustedIssuer
  trusted_issuer_deleted: OfTrustedIssuer
  /** Of the client that receives it, as the next four. */
  stream_created: OfStream
  stream_changed: OfStream
  stream_deleted: OfStream
  stream_subject_added: OfStream & OfUser
  stream_subject_removed: OfStream & OfUser
  /** Null where its reader is no user yet. Who it went to is not told. */
  mail_refused: OfMail & {
    readonly detail: { readonly kind: string; readonly stage: string; readonly code: string }
  }
  mail_failed: OfMail & {
    readonly detail: {
      readonly kind: string
      readonly tries: number
      readonly reason: 'it could not be sent in time' | 'its row was changed'
    }
  }
  /** Of the client to which it was to be delivered, as the next two. */
  delivery_refused: OfClient & { readonly detail: DeliveryFacts & { readonly reason: string } }
  delivery_given_up: OfClient & {
    readonly detail: DeliveryFacts & { readonly deliveries: number; readonly reason?: string }
  }
  receiver_paused: OfClient & { readonly detail: DeliveryFacts & { readonly reason: string } }
  key_rotated: {
    readonly detail: { readonly alg: string; readonly from: string | null; readonly to: string }
  }
  key_rotation_requested: { readonly detail: { readonly kid: string; readonly alg: string } }
  key_revoked: {
    readonly at: number
    readonly detail: {
      readonly kid: string
      readonly alg: string
      readonly state: KeyPhase
      /** As it was typed. */
      readonly reason: string
    }
  }
  all_keys_revoked: {
    readonly ended: EndedEpochs
    readonly detail: { readonly kids: readonly string[]; readonly reason: string } & RootKeys
  }
  key_policy_changed: { readonly detail: { readonly from: KeyPolicy; readonly to: KeyPolicy } }
  root_key_rotated: { readonly detail: RootKeys }
  issuer_changed:
    | { readonly ended: EndedClients; readonly detail: Issuers }
    | { readonly detail: Issuers & { readonly copied: true } & RootKeys }
  database_migrated: { readonly detail: { readonly applied: readonly string[] } }
  database_backed_up: { readonly detail: { readonly file: string; readonly bytes: number } }
  database_moved: { readonly detail: { readonly from: 'sqlite' | 'postgres' } }
  database_restored: {
    readonly detail: {
      readonly made_at: number | undefined
      readonly from?: string
      readonly revived?: true
    }
  }
}

interface OfUser {
  readonly userId: Buffer
}

interface OfMail {
  readonly userId: Buffer | null
}

/** Of what kind it was, and the client or stream to which it was to go. */
interface DeliveryFacts {
  readonly kind: DeliveryKindName
  readonly receiver: string
}

interface OfClient {
  readonly clientId: string
}

interface OfUserSession extends OfUser, OfClient {
  readonly sessionId: Buffer
}

/** The id of a sign-in, and with what its user has logged in (RFC 8176), separated by spaces. */
interface SignInFacts {
  readonly sign_in: string
  readonly amr: string
}

/** The id of a passkey. Its name is its owner's, so no trail keeps it. */
interface PasskeyFacts {
  readonly passkey: string
}

interface Named {
  readonly detail: { readonly username: string }
}

interface OfResource {
  readonly detail: { readonly uri: string; readonly [setting: string]: unknown }
}

interface OfRegistrationToken {
  readonly detail: { readonly registration_token: string; readonly [setting: string]: unknown }
}

interface OfOwnClaim {
  readonly detail: { readonly claim: string; readonly [setting: string]: unknown }
}

interface OfTrustedIssuer {
  readonly detail: { readonly issuer: string; readonly [setting: string]: unknown }
}

/** The id of a stream, and what is told of it. */
interface OfStream extends OfClient {
  readonly detail: { readonly stream: string; readonly [setting: string]: unknown }
}

interface OfGroup<Roles> {
  readonly detail: { readonly group: string; readonly roles?: Roles }
}

export type LogInFailure =
  | 'there is no such user'
  | 'the password is wrong'
  | 'the user is disabled'
  | 'the passkey is unknown'
  | 'the passkey is refused'
  | 'the code is wrong'
  | 'the recovery code is wrong'

interface OfMailedCode {
  /** Null where no mail has gone out, and for a sign-up. */
  readonly userId: Buffer | null
  readonly detail: { readonly link: 'reset' | 'sign_up' | 'verification' }
}

interface RefusedClient {
  /** Null where there is no such client: what was sent as its id may be a password. */
  readonly clientId: string | null
  readonly detail: { readonly reason: string }
}

/** The generation of the token that was shown, and that of its session. */
export interface Generations {
  readonly presented: number
  readonly current: number
}

/** The changes, by the names of the settings. */
export type Changes = Readonly<Record<string, { readonly from: unknown; readonly to: unknown }>>

interface RootKeys {
  readonly root_key_from: string
  readonly root_key_to: string
}

interface Issuers {
  readonly from: string
  readonly to: string
}

/** Revoked once more after the database has gone back in time, for the reason that the log tells. */
export interface Replay {
  readonly reason: string
  readonly at: number
  readonly replayed: true
}

/** The end of all sessions of one user or client: those that begin in this epoch or a later one live. */
export interface EndedEpoch {
  readonly epoch: number
  readonly reason: EndReason
  readonly at: number
}

/** The end of all sessions of some clients, each with the epoch from which on its sessions live. */
export interface EndedEpochs {
  readonly clients: readonly RaisedClient[]
  /** Typed, where all keys were revoked. */
  readonly reason: string
  readonly at: number
}

export interface EndedClients extends EndedEpochs {
  readonly reason: EndReason
}

export type TokenType = 'access_token' | 'refresh_token' | 'personal_access_token'

/** The end of one session. */
export interface EndedSession extends OfClient {
  /** Null for a machine session. */
  readonly userId: Buffer | null
  readonly sessionId: Buffer
  readonly at: number
  readonly detail: { readonly reason: EndReason }
  /** By which of its tokens it was revoked. */
  readonly tokenType?: TokenType
  /** One of so many that the log has one line for them together. */
  readonly isOneOfMany?: boolean
}

export type LimitName =
  'account' | 'account and source' | 'source' | 'device' | 'devices' | 'code' | 'recovery code'
