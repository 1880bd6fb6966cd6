import { sql as fragment, type Kysely } from 'kysely'
import type { Database } from '../database.ts'
import { keptQuery } from '../kept-query.ts'
import type { SessionTable, Tables } from '../schema.ts'
import type { Writer } from '../writer.ts'
import type { EndReason } from './end-reasons.ts'
import { writeEnds } from './revocations.ts'

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

const sessionById = keptQuery(
  (sql, id: Buffer) => selectSessions(sql).where('sessions.id', '=', id),
  ['uuid'],
)

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

const machineSessionOf = keptQuery(
  (sql, clientId: string, clientEpoch: number) =>
    sql
      .selectFrom('sessions')
      .select(['id', 'auth_time', 'status_position'])
      .where('client_id', '=', clientId)
      .where('user_id', 'is', null)
      .where('revoked_at', 'is', null)
      .where('client_epoch', '=', clientEpoch),
  ['text', 'bigint'],
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
