import type { Kysely } from 'kysely'
import type { Database } from '../database.ts'
import { keptStatement } from '../kept-query.ts'
import type { OfflineSessionTable, SessionTable, SignInSessionTable, Tables } from '../schema.ts'
import type { Steps } from '../steps.ts'
import { setKnownSources } from '../users/known-sources.ts'
import type { Writer } from '../writer.ts'
import type { EndReason } from './end-reasons.ts'
import { writeEnds } from './revocations.ts'
import { addToIndex } from './session-index.ts'
import { surplusSessions } from './surplus.ts'

export type NewSession = Pick<
  SessionTable,
  | 'id'
  | 'user_id'
  | 'client_id'
  | 'user_epoch'
  | 'client_epoch'
  | 'secret_hash'
  | 'scope'
  | 'resource'
  | 'auth_time'
  | 'amr'
  | 'expires_at'
  | 'absolute_expires_at'
  | 'status_position'
  | 'last_address'
> &
  /** Bound to no key and begun at `auth_time` unless told. */
  Partial<Pick<SessionTable, 'key_thumbprint' | 'started_at' | 'claims' | 'authorization_details'>>

/**
 * Starts a session, if the epochs are still those that were read before the password was checked: a log-in
 * that began before a password change, a disable or a revoke-all never yields a session. Whether it did is
 * the answer.
 */
export async function insertSession(
  { engine, transactAtOnce }: Writer,
  session: NewSession,
): Promise<boolean> {
  return transactAtOnce(sql => addSession(sql, session, engine))
}

/** A session of a user, and what goes with it. */
export interface NewLogIn {
  readonly session: NewSession & { readonly user_id: Buffer; readonly started_at: number }
  /** The sign-in that it ends with, if it does: it starts only while that is there. */
  readonly signInId?: Buffer | null
  /** Or that it outlives, where its client is to be told of the log-out. */
  readonly outlivedSignInId?: Buffer | null
  /** What the user has allowed the client, if that was asked: it starts only while that is not withdrawn. */
  readonly consentId?: Buffer | null
  /** Those of the user from now on, where they have changed. */
  readonly knownSources: Buffer | undefined
  /** How many sessions the user may have through this client, and why the others end. */
  readonly bound: { readonly sessionsMax: number; readonly reason: EndReason }
}

/**
 * Starts one as `insertSession` does, and ends those of the user through this client that are too many.
 * Returns their ids; undefined when the session was not started. On PostgreSQL log-ins at the same moment do
 * not see each other, so that there may be as many more until the next one.
 */
export async function insertLogIn(
  { engine, transactAtOnce }: Writer,
  { session, signInId = null, outlivedSignInId = null, consentId = null, knownSources, bound }: NewLogIn,
): Promise<readonly Buffer[] | undefined> {
  return transactAtOnce(function* (sql) {
    if (!(yield* addSession(sql, session, engine, { signInId, consentId }))) return undefined
    if (signInId) yield* endWithSignIn(sql, { session_id: session.id, sign_in_id: signInId })
    if (outlivedSignInId) yield* outliveSignIn(sql, { session_id: session.id, sign_in_id: outlivedSignInId })
    if (knownSources) yield* setKnownSources(sql, { user_id: session.user_id, sources: knownSources })
    const surplus = yield* surplusSessions(sql, session, bound.sessionsMax)
    return yield* writeEnds(sql, surplus, { now: session.started_at, reason: bound.reason })
  })
}

/** Lets a session that was started end with its sign-in. */
const endWithSignIn = keptStatement((sql, entry: SignInSessionTable) =>
  sql.insertInto('sign_in_sessions').values(entry),
)

const outliveSignIn = keptStatement((sql, entry: OfflineSessionTable) =>
  sql.insertInto('offline_sessions').values(entry),
)

/** What must still be there for a session to start; null for nothing more than its client and its user. */
interface Grounds {
  readonly signInId: Buffer | null
  readonly consentId: Buffer | null
}

/** The part of a transaction that starts a session, if what it needs is still there; whether it was. */
export function* addSession(
  sql: Kysely<Tables>,
  session: NewSession,
  engine: Database['engine'],
  { signInId, consentId }: Grounds = { signInId: null, consentId: null },
): Steps<boolean> {
  const { numAffectedRows } = yield* startingStatements[engine](sql, {
    key_thumbprint: null,
    started_at: session.auth_time,
    claims: null,
    authorization_details: null,
    ...session,
    generation: 0,
    rotated_at: session.started_at ?? session.auth_time,
    window_generation: 0,
    window_opened_at: 0,
    late_history: 0,
    revoked_at: null,
    revoke_reason: null,
    bound_generation: 0,
    signInId,
    consentId,
  })
  if (numAffectedRows !== 1n) return false
  const { id: session_id, client_id, resource } = session
  yield* addToIndex(sql, { session_id, client_id, resource })
  return true
}

type StartingSession = SessionTable & Grounds

/**
 * On PostgreSQL the rows of client, user, sign-in and consent are locked: a change of an epoch, the end of
 * the sign-in and a withdrawal wait until the session can be seen, or the session waits, and is refused.
 * SQLite has one writer at a time.
 */
const startingStatements = { sqlite: startingStatement(false), postgres: startingStatement(true) } as const

function startingStatement(locks: boolean) {
  return keptStatement((sql, { signInId, consentId, ...row }: StartingSession) => {
    const columns = Object.keys(row) as (keyof typeof row)[]
    const locked = <Query extends { forShare(): Query }>(query: Query) => (locks ? query.forShare() : query)
    const client = sql
      .selectFrom('clients')
      .select('epoch')
      .where('id', '=', row.client_id)
      .where('disabled_at', 'is', null)
      .$call(locked)
    const user = sql
      .selectFrom('users')
      .select('epoch')
      .where('id', '=', row.user_id)
      .where('disabled_at', 'is', null)
      .$call(locked)
    const signIn = sql
      .selectFrom('sign_ins')
      .select('sign_in_epoch')
      .where('id', '=', signInId)
      .where('user_id', '=', row.user_id)
      .where('expires_at', '>', row.rotated_at)
      .$call(locked)
    const consent = sql
      .selectFrom('consents')
      .select('client_id')
      .where('id', '=', consentId)
      .where('user_id', '=', row.user_id)
      .$call(locked)
    return sql
      .insertInto('sessions')
      .columns(columns)
      .expression(
        sql
          .selectNoFrom(({ val }) => columns.map(column => val(row[column]).as(column)))
          .where(client, '=', row.client_epoch)
          .$if(row.user_id !== null, query => query.where(user, '=', row.user_epoch))
          .$if(signInId !== null, query =>
            query.where(signIn, '=', sql.selectFrom('installation').select('sign_in_epoch')),
          )
          .$if(consentId !== null, query => query.where(consent, '=', row.client_id)),
      )
      .onConflict(conflict => conflict.doNothing())
  })
}
