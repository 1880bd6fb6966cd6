import type { Database } from '../db/database.ts'
import type { SessionTable } from '../db/schema.ts'
import type { ClientAuthContext } from './clients/auth-context.ts'
import type { Clock } from './clock.ts'
import type { Config } from './config/load.ts'
import type { Lateness } from './endings/lateness.ts'
import type { StatusLists } from './endings/status-lists.ts'
import type { NextStatusPosition } from './endings/status-positions.ts'
import type { Standing } from './installation/standing.ts'
import type { KeyRing } from './keys/ring/key-ring.ts'
import type { RootKeys } from './keys/root/root-key.ts'
import type { Admission } from './load/admission.ts'
import type { Afterwards } from './load/afterwards.ts'
import type { Drain } from './load/drain.ts'
import type { Rests } from './load/rests.ts'
import type { MailServices } from './mail/mail.ts'
import type { Listeners } from './push/listeners.ts'
import type { AuditFeed } from './record/audit-feed.ts'
import type { AuditTrail } from './record/audit-trail.ts'
import type { Counts } from './record/counts.ts'
import type { Log } from './record/log.ts'
import type { PasswordHook } from './users/password-hook.ts'
import type { Passwords } from './users/passwords.ts'
import type { Polls } from './streams/polls.ts'
import type { Throttle } from './users/throttle.ts'

/** Everything an endpoint may depend on. It is an argument; nothing is looked up from anywhere else. */
export interface Context {
  readonly config: Config
  readonly db: Database
  /** Signs and verifies; knows the JWKS. */
  readonly keys: KeyRing
  /** The secrets outside the database, and what is derived from them. */
  readonly rootKeys: RootKeys
  readonly clients: ClientAuthContext['clients']
  readonly users: UserServices
  readonly sessions: SessionServices
  readonly load: LoadServices
  /** Makes mails for the outbox; undefined where none can be sent: then nothing is offered that needs one. */
  readonly mail: MailServices | undefined
  /** Whether this server may go on, by what the database says. */
  readonly standing: Standing
  /** Whether all processes that share the work of this server serve. */
  readonly team: { readonly isComplete: () => boolean }
  /** The revocations, for resource servers that verify locally. */
  readonly statusLists: StatusLists
  /** Those who are told at once what has ended. */
  readonly listeners: Listeners
  /** Receivers of streams who fetch their events. */
  readonly polls: Polls
  /** Notes what changes nothing and still matters, such as wrong passwords. */
  readonly audit: AuditTrail
  /** Tells new entries of the audit trail to who listens. */
  readonly auditFeed: AuditFeed
  /** Counts since the start, for the metrics. */
  readonly counts: Counts
  /** On PostgreSQL that of its server, which all instances share. */
  readonly clock: Clock
  readonly log: Log
}

export interface UserServices {
  /** Hashes and verifies passwords, in a bounded pool. */
  readonly passwords: Passwords
  /** How often an unauthenticated caller may try. */
  readonly throttle: Throttle
  /** The old system, which knows users who are unknown here; undefined for none. */
  readonly passwordHook: PasswordHook | undefined
}

export interface SessionServices {
  /** Tells an outage from thieves. */
  readonly lateness: Lateness
  /** Each new session's place in the status lists. */
  readonly nextStatusPosition: NextStatusPosition
  /** Notes that a personal access token was used: its row is written later, with those of others. */
  readonly noteTokenUse: (session: Pick<SessionTable, 'id' | 'started_at' | 'rotated_at'>) => void
}

/** Protection of the server from too much work. */
export interface LoadServices {
  /** Whether more work may begin. */
  readonly admission: Admission
  /** Has a program that administers without a pause rest, while there is other work. */
  readonly rests: Rests
  /** Waits before a log-in of a flood is refused, so that its sender guesses slowly. */
  readonly delayRefusal: () => Promise<void>
  /** Whether this server is about to end. */
  readonly drain: Drain
  /** Does what must not be seen in the time of an answer. */
  readonly afterwards: Afterwards
}
