import type { Database } from '../database.ts'
import type { ClientTable, SessionTable, SignInSessionTable } from '../schema.ts'

/** A living session of a user, with the client that it is through. */
export type SessionOfUser = Pick<
  SessionTable,
  'id' | 'client_id' | 'rotated_at' | 'auth_time' | 'started_at'
> &
  Pick<ClientTable, 'client_name'> & {
    /** Null where it is not the user's: a client that runs on a server has one of its own. */
    readonly address: string | null
    /** The sign-in that it ends with; null for one that outlives it. */
    readonly sign_in_id: SignInSessionTable['sign_in_id'] | null
  }

/** Those that live at the time `now`, the newest first, and no more than `limit`. */
export async function listSessionsOfUser(
  { sql }: Database,
  userId: Buffer,
  { now, limit }: { readonly now: number; readonly limit: number },
): Promise<readonly SessionOfUser[]> {
  return sql
    .selectFrom('sessions')
    .innerJoin('users', join =>
      join.onRef('users.id', '=', 'sessions.user_id').onRef('users.epoch', '=', 'sessions.user_epoch'),
    )
    .innerJoin('clients', join =>
      join
        .onRef('clients.id', '=', 'sessions.client_id')
        .onRef('clients.epoch', '=', 'sessions.client_epoch'),
    )
    .leftJoin('sign_in_sessions', 'sign_in_sessions.session_id', 'sessions.id')
    .select([
      'sessions.id',
      'client_id',
      'client_name',
      'rotated_at',
      'auth_time',
      'started_at',
      'sign_in_id',
    ])
    .select(({ eb }) =>
      eb
        .case()
        .when(eb.or([eb('auth_method', '=', 'none'), eb('forwards_user_address', '=', 1)]))
        .then(eb.ref('last_address'))
        .end()
        .as('address'),
    )
    .where('sessions.user_id', '=', userId)
    .where('revoked_at', 'is', null)
    .where('expires_at', '>', now)
    .orderBy('sessions.id', 'desc')
    .limit(limit)
    .execute()
}
