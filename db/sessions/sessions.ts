import { sql as fragment, type Kysely } from 'kysely'
import type { Database } from '../database.ts'
import { keptQuery, keptStatement } from '../kept-query.ts'
import type { SessionTable, SignInSessionTable, Tables } from '../schema.ts'
import type { Steps } from '../steps.ts'
import { setKnownSources } from '../users/known-sources.ts'
import type { Writer } from '../writer.ts'
import type { EndReason } from './end-reasons.ts'
import { writeEnds } from './revocations.ts'
import { surplusSessions } from './surplus.ts'

/** A session as the judge sees it, with what its tokens say. */
export interface Session extends SessionTable {
  /** Null where it has no user, or none any more. */
  readonly username: string | null
  readonly roles: string
  readonly group_names: string
  /** JSON of the standard claims of its user. */
  readonly user_claims: string
  /** Whether neither the user's nor the client's epoch was raised since the log-in. */
  readonly isOfThisEpoch: boolean
}

/** Sessions with what is known of their users and clients now. */
export const selectSessions = (sql: Kysely<Tables>) =>
  sql
    .selectFrom('sessions')
    .leftJoin('users', 'users.id', 'sessions.user_id')
    .leftJoin('clients', 'clients.id', 'sessions.client_id')
    .selectAll('sessions')
    .select(['users.username', 'users.epoch as users_epoch', 'clients.epoch as clients_epoch'])
    .select(({ fn }) => [
      fn.coalesce('users.roles', fragment<string>`''`).as('roles'),
      fn.coalesce('users.group_names', fragment<string>`''`).as('group_names'),
      fn.coalesce('users.claims', fragment<string>`'{}'`).as('user_claims'),
    ])

const sessionById = keptQuery((sql, id: Buffer) => selectSessions(sql).where('sessions.id', '=', id))

/** Finds a session by its id, whatever its state. */
export async function findSession(db: Database, id: Buffer): Promise<Session | undefined> {
  const [row] = await sessionById(db, id)
  // Not a copy: of so many members that takes a part of what the read does.
  return row && Object.assign(row, { isOfThisEpoch: isOfThisEpoch(row) })
}

/** The epochs of a session, and those that its user and its client have now. */
export type SessionEpochs = Pick<SessionTable, 'user_id' | 'user_epoch' | 'client_epoch'> & {
  readonly users_epoch: number | null
  readonly clients_epoch: number | null
}

/** Whether neither the user's nor the client's epoch was raised since the log-in. */
export function isOfThisEpoch(row: SessionEpochs): boolean {
  const { user_id, user_epoch, users_epoch, client_epoch, clients_epoch } = row
  return clients_epoch === client_epoch && (user_id === null || users_epoch === user_epoch)
}

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
  Partial<Pick<SessionTable, 'key_thumbprint' | 'started_at' | 'claims'>>

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
  { session, signInId = null, consentId = null, knownSources, bound }: NewLogIn,
): Promise<readonly Buffer[] | undefined> {
  return transactAtOnce(function* (sql) {
    if (!(yield* addSession(sql, session, engine, { signInId, consentId }))) return undefined
    if (signInId) yield* endWithSignIn(sql, { session_id: session.id, sign_in_id: signInId })
    if (knownSources) yield* setKnownSources(sql, { user_id: session.user_id, sources: knownSources })
    const surplus = yield* surplusSessions(sql, session, bound.sessionsMax)
    return yield* writeEnds(sql, surplus, { now: session.started_at, reason: bound.reason })
  })
}

/** Lets a session that was started end with its sign-in. */
const endWithSignIn = keptStatement((sql, entry: SignInSessionTable) =>
  sql.insertInto('sign_in_sessions').values(entry),
)

/** What must still be there for a session to start; null for nothing more than its client and its user. */
interface Grounds {
  readonly signInId: Buffer | null
  readonly consentId: Buffer | null
}

function* addSession(
  sql: Kysely<Tables>,
  session: NewSession,
  engine: Database['engine'],
  { signInId, consentId }: Grounds = { signInId: null, consentId: null },
): Steps<boolean> {
  const { numAffectedRows } = yield* startingStatements[engine](sql, {
    key_thumbprint: null,
    started_at: session.auth_time,
    claims: null,
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
  return numAffectedRows === 1n
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

const machineSessionOf = keptQuery((sql, clientId: string, clientEpoch: number) =>
  sql
    .selectFrom('sessions')
    .select(['id', 'auth_time', 'status_position'])
    .where('client_id', '=', clientId)
    .where('user_id', 'is', null)
    .where('revoked_at', 'is', null)
    .where('client_epoch', '=', clientEpoch),
)

/** Finds the living machine session of a client. */
export async function findMachineSession(db: Database, clientId: string, clientEpoch: number) {
  const [session] = await machineSessionOf(db, clientId, clientEpoch)
  return session
}

/** A snapshot that a verdict was given on: the change happens only if the session is still as it was. */
export type Judged = Pick<SessionTable, 'id' | 'generation' | 'late_history'>

/** Marks the current generation as late in the history; false when the session has moved on since. */
export async function markLate({ transact }: Writer, judged: Judged, lateHistory: number): Promise<boolean> {
  return transact(async transaction => {
    const { numUpdatedRows } = await transaction
      .updateTable('sessions')
      .set({ late_history: lateHistory })
      .where('id', '=', judged.id)
      .where('generation', '=', judged.generation)
      .where('late_history', '=', judged.late_history)
      .where('revoked_at', 'is', null)
      .executeTakeFirstOrThrow()
    return numUpdatedRows === 1n
  })
}

/**
 * Takes a session of a database that has gone back in time up to the generation that its client shows; false
 * when it has moved since. `expiresAt` is the new idle limit, since the old one went back in time too;
 * `keyThumbprint` is the key that the session is bound to again, since that was forgotten.
 */
export async function healSession(
  { transact }: Writer,
  judged: Judged,
  healed: { generation: number; now: number; expiresAt: number; keyThumbprint?: Buffer | null },
): Promise<boolean> {
  const { generation, now, expiresAt, keyThumbprint: key_thumbprint = null } = healed
  return transact(async transaction => {
    const { numUpdatedRows } = await transaction
      .updateTable('sessions')
      .set({ generation, window_generation: generation, window_opened_at: 0, late_history: 0 })
      .set({ rotated_at: now, expires_at: expiresAt })
      .$if(key_thumbprint !== null, query =>
        query.set({ key_thumbprint, bound_generation: generation }).where('key_thumbprint', 'is', null),
      )
      .where('id', '=', judged.id)
      .where('generation', '=', judged.generation)
      .where('revoked_at', 'is', null)
      .executeTakeFirstOrThrow()
    return numUpdatedRows === 1n
  })
}

/** Moves the idle limit of a session whose client never rotates; false when it has been revoked. */
export async function extendSession(
  { sql }: Database,
  judged: Judged,
  { now, expiresAt, address }: { now: number; expiresAt: number; address: string },
): Promise<boolean> {
  const { numUpdatedRows } = await sql
    .updateTable('sessions')
    .set({ rotated_at: now, last_address: address, expires_at: expiresAt })
    .where('id', '=', judged.id)
    .where('generation', '=', judged.generation)
    .where('revoked_at', 'is', null)
    .executeTakeFirstOrThrow()
  return numUpdatedRows === 1n
}

/** Ends a session for good; false when it was revoked already or is not there. Durable when it returns. */
export async function revokeSession(
  { transactAtOnce }: Writer,
  id: Buffer,
  now: number,
  reason: EndReason,
): Promise<boolean> {
  return transactAtOnce(function* (sql) {
    return (yield* writeEnds(sql, [id], { now, reason })).length === 1
  })
}
