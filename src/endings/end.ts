import { deleteClient, disableClient, raiseClientEpochs, type SeenClient } from '../../db/clients/clients.ts'
import { changeIssuer } from '../../db/installation/installation.ts'
import type { JobTable, SessionTable, UserTable } from '../../db/schema.ts'
import type { EndReason } from '../../db/sessions/end-reasons.ts'
import type { Ending, EpochEnding, EveryEnding } from '../../db/sessions/endings.ts'
import { revokeSession } from '../../db/sessions/sessions.ts'
import { setPasswordByLink, type LinkedUser } from '../../db/users/mailed-links.ts'
import type { KeptSignIn } from '../../db/users/sign-ins.ts'
import {
  changePassword,
  deleteUser,
  disableUser,
  raiseUserEpoch,
  type SeenOfUser,
} from '../../db/users/users.ts'
import type { Writer } from '../../db/writer.ts'
import type { Event, TokenType } from '../record/events.ts'
import { record, type Recorder } from '../record/record.ts'
import { finishEnding, type FinishedWork, type FinishOptions } from './finish.ts'

/*
 * The one way to end sessions. Here one ends, or all of a user or client; those that are chosen do in
 * end-chosen.ts, those of a sign-in in end-sign-ins.ts, and all with the keys in restart.ts. All functions
 * record what they do, and it is durable when they return: nothing can be done with the sessions any more.
 * Where there may be many, an epoch ends them at once, and then each gets its end in its row, from which the
 * status lists learn of it.
 */

/** How each session gets its end, where an epoch has ended many. */
export interface EndOptions extends Omit<FinishOptions, 'clock'> {
  /** Where an administrator ends all of a user or client: it shows how far that has come. */
  readonly job?: JobTable | undefined
  /** How the user or client must still be, where it is changed with it; whatever it is, if undefined. */
  readonly seen?: { readonly user?: SeenOfUser; readonly client?: SeenClient } | undefined
}

export interface EndedSessions extends FinishedWork {
  /** When they have ended, in seconds since the epoch. */
  readonly at: number
}

export type SessionEndReason = 'client' | 'admin' | 'command' | 'log-out' | 'ended by its user'

/**
 * Ends one session for a client that has shown one of its tokens, for a person who has come with its ID token
 * (`log-out`), for its user, or for an administrator (`command`); false when it has ended before.
 */
export async function endSession(
  by: Recorder,
  { id: sessionId, user_id: userId, client_id: clientId }: Pick<SessionTable, 'id' | 'user_id' | 'client_id'>,
  { reason, ...more }: { readonly reason: SessionEndReason; readonly tokenType?: TokenType },
): Promise<boolean> {
  const at = by.clock.now()
  const ofSession = { userId, clientId, sessionId }
  return record(by, { event: 'session_revoked', ...ofSession, at, detail: { reason }, ...more }, db =>
    revokeSession(db, sessionId, at, reason),
  )
}

/** Ends a session whose token two have held; false when it has ended before. */
export async function endStolenSession(
  by: Recorder,
  theft: Omit<Event<'session_theft'>, 'event' | 'at'>,
): Promise<boolean> {
  const at = by.clock.now()
  return record(by, { event: 'session_theft', at, ...theft }, db =>
    revokeSession(db, theft.sessionId, at, 'theft'),
  )
}

/** Ends the session of a code that was used twice (RFC 6749 §4.1.2); false when it has ended before. */
export async function endReplayedSession(
  by: Recorder,
  replay: Omit<Event<'code_replayed'>, 'event' | 'at'>,
): Promise<boolean> {
  const at = by.clock.now()
  return record(by, { event: 'code_replayed', at, ...replay }, db =>
    revokeSession(db, replay.sessionId, at, 'code used twice'),
  )
}

/** Why all sessions of a user end, and what else changes in the same transaction. */
export type UserEnd =
  | { readonly reason: 'admin' | 'command' | 'user disabled' }
  | {
      readonly reason: 'password changed'
      readonly password: Pick<UserTable, 'password_hash' | 'root_key_id'>
      /** Where it is set by a link that was mailed: with it, and while it is good. */
      readonly link?: {
        readonly kind: 'reset' | 'invitation'
        readonly user: LinkedUser
        /** What the user's claims are from then on. */
        readonly claims?: string
      }
      /** The sign-in at which it was changed, which goes on. */
      readonly kept?: KeptSignIn
    }
  | { readonly reason: 'ended by its user'; readonly kept: KeptSignIn }
  | { readonly reason: 'user deleted'; readonly username: string }

/**
 * Ends all sessions of a user, also those of log-ins under way; undefined when there is no such user, or the
 * sign-in that is to go on has ended.
 */
export async function endSessionsOfUser(
  by: Recorder,
  userId: Buffer,
  end: UserEnd,
  options?: EndOptions,
): Promise<EndedSessions | undefined> {
  const now = by.clock.now()
  const ending = await record(
    by,
    (ending: EpochEnding) => [eventOfUser(userId, end, ending)],
    db => endUser(db, userId, end, { now, job: options?.job, seen: options?.seen?.user }),
  )
  return ending && finish(by, ending, options)
}

function endUser(
  db: Writer,
  userId: Buffer,
  end: UserEnd,
  {
    now,
    job,
    seen,
  }: {
    readonly now: number
    readonly job: JobTable | undefined
    readonly seen: SeenOfUser | undefined
  },
): Promise<EpochEnding | undefined> {
  switch (end.reason) {
    case 'password changed':
      if (end.link) return setPasswordByLink(db, end.link, end.password, now)
      return changePassword(db, userId, end.password, now, { kept: end.kept, seen })
    case 'user disabled':
      return disableUser(db, userId, now, seen)
    case 'user deleted':
      return deleteUser(db, userId, now, seen)
    case 'ended by its user':
      return raiseUserEpoch(db, userId, { reason: end.reason, now }, end.kept)
    default:
      return raiseUserEpoch(db, userId, { reason: end.reason, now, job })
  }
}

function eventOfUser(userId: Buffer, end: UserEnd, { epoch, ended_at: at }: EpochEnding): Event {
  const { reason } = end
  const facts = { userId, ended: { epoch, reason, at } }
  switch (reason) {
    case 'password changed':
      return {
        event: 'user_password_changed',
        ...facts,
        ...(end.link && { detail: { by: end.link.kind } }),
      }
    case 'user disabled':
      return { event: 'user_disabled', ...facts }
    case 'user deleted':
      return { event: 'user_deleted', ...facts, detail: { username: end.username } }
    case 'admin':
    case 'ended by its user':
      return { event: 'user_revoked', ...facts, detail: { reason } }
    case 'command':
      return { event: 'user_revoked', ...facts }
  }
}

/** Why all sessions of a client end, and what else changes in the same transaction. */
export type ClientEnd = 'command' | 'client disabled' | 'client deleted'

/** Ends all sessions of a client, also those of log-ins under way; undefined when there is no such client. */
export async function endSessionsOfClient(
  by: Recorder,
  clientId: string,
  reason: ClientEnd,
  options?: EndOptions,
): Promise<EndedSessions | undefined> {
  const now = by.clock.now()
  if (reason === 'command') return endByClients(by, clientId, { reason, now }, options)
  const endedOf = ({ epoch, ended_at: at }: EpochEnding) => ({ epoch, reason, at })
  const ending =
    reason === 'client disabled'
      ? await record(
          by,
          (ending: EpochEnding) => [{ event: 'client_disabled', clientId, ended: endedOf(ending) }],
          db => disableClient(db, clientId, now, options?.seen?.client),
        )
      : await record(
          by,
          (ending: EpochEnding & { readonly resources: string }) => {
            const { resources } = ending
            return [{ event: 'client_deleted', clientId, ended: endedOf(ending), resources }]
          },
          db => deleteClient(db, clientId, now, options?.seen?.client),
        )
  return ending && finish(by, ending, options)
}

/** Ends every session that there is. */
export async function endAllSessions(
  by: Recorder,
  reason: 'command' | 'restored',
  options?: EndOptions,
): Promise<EndedSessions> {
  return endByClients(by, null, { reason, now: by.clock.now() }, options)
}

/** Raises the epoch of one client, or with null of every client. */
async function endByClients(
  by: Recorder,
  clientId: string | null,
  { reason, now }: { readonly reason: EndReason; readonly now: number },
  options?: EndOptions,
): Promise<EndedSessions> {
  const detail = { all: clientId === null, ...(reason !== 'command' && { reason }) }
  const { ending } = await record(
    by,
    ({ clients }: EveryEnding) => [
      { event: 'client_revoked', clientId, ended: { clients, reason, at: now }, detail },
    ],
    db => raiseClientEpochs(db, clientId ?? undefined, { reason, now, job: options?.job }),
  )
  return finish(by, ending, options)
}

/**
 * Gives the installation a new issuer, and ends every session; undefined when its issuer is another than
 * `from` by now.
 */
export async function endAllOfIssuer(
  by: Recorder,
  { from, to }: { readonly from: string; readonly to: string },
  options?: EndOptions,
): Promise<EndedSessions | undefined> {
  const now = by.clock.now()
  const ended = { reason: 'issuer changed', at: now } as const
  const changed = await record(
    by,
    ({ clients }: EveryEnding) => [
      { event: 'issuer_changed', ended: { clients, ...ended }, detail: { from, to } },
    ],
    db => changeIssuer(db, { from, to, now }),
  )
  return changed && finish(by, changed.ending, options)
}

/** Writes the end of each session that an epoch has ended. */
export async function finish(
  { db, clock }: Recorder,
  ending: Ending,
  options: EndOptions = {},
): Promise<EndedSessions> {
  return { at: ending.ended_at, ...(await finishEnding(db, ending, { clock, ...options })) }
}
