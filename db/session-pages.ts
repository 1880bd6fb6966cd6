import type { Database, SessionTable } from './database.ts'

/** Which sessions; what is left out does not matter. */
export interface SessionFilter {
  readonly id?: Buffer
  readonly userId?: Buffer
  readonly clientId?: string
  /** Only those that live at this time: not revoked, not expired, of their user's and client's present epoch. */
  readonly livingAt?: number
}

export type ListedSession = Pick<
  SessionTable,
  | 'id'
  | 'user_id'
  | 'client_id'
  | 'scope'
  | 'resource'
  | 'generation'
  | 'auth_time'
  | 'rotated_at'
  | 'expires_at'
  | 'absolute_expires_at'
  | 'revoked_at'
  | 'revoke_reason'
> & {
  readonly username: string | null
  /** Whether neither the user's nor the client's epoch was raised since the log-in. */
  readonly isOfThisEpoch: boolean
}

const pageSize = 500

/** Sessions in the order in which they began, read page by page: as many as there are fit into any memory. */
export async function* listSessions(db: Database, filter: SessionFilter): AsyncGenerator<ListedSession> {
  let after: Buffer = Buffer.alloc(16)
  for (;;) {
    const page = await sessionPage(db, filter, after)
    yield* page
    const last = page.at(-1)
    if (!last || page.length < pageSize) return
    after = last.id
  }
}

async function sessionPage(
  { sql }: Database,
  filter: SessionFilter,
  after: Buffer,
): Promise<ListedSession[]> {
  const { id, userId, clientId, livingAt } = filter
  const rows = await sql
    .selectFrom('sessions')
    .leftJoin('users', 'users.id', 'sessions.user_id')
    .leftJoin('clients', 'clients.id', 'sessions.client_id')
    .select(['sessions.id', 'sessions.user_id', 'sessions.client_id', 'sessions.scope', 'sessions.resource'])
    .select(['generation', 'auth_time', 'rotated_at', 'expires_at', 'absolute_expires_at'])
    .select(['revoked_at', 'revoke_reason', 'user_epoch', 'client_epoch'])
    .select(['users.username', 'users.epoch as users_epoch', 'clients.epoch as clients_epoch'])
    .where('sessions.id', '>', after)
    .$if(id !== undefined, query => query.where('sessions.id', '=', id ?? after))
    .$if(userId !== undefined, query => query.where('sessions.user_id', '=', userId ?? after))
    .$if(clientId !== undefined, query => query.where('sessions.client_id', '=', clientId ?? ''))
    .$if(livingAt !== undefined, query =>
      query
        .where('revoked_at', 'is', null)
        .where('expires_at', '>', livingAt ?? 0)
        .whereRef('clients.epoch', '=', 'client_epoch')
        .where(({ or, eb }) =>
          or([eb('sessions.user_id', 'is', null), eb('users.epoch', '=', eb.ref('user_epoch'))]),
        ),
    )
    .orderBy('sessions.id')
    .limit(pageSize)
    .execute()
  return rows.map(({ user_epoch, client_epoch, users_epoch, clients_epoch, ...session }) => ({
    ...session,
    isOfThisEpoch: clients_epoch === client_epoch && (session.user_id === null || users_epoch === user_epoch),
  }))
}

/** The id of the session that began last. */
export async function latestSessionId({ sql }: Database): Promise<Buffer | undefined> {
  const row = await sql.selectFrom('sessions').select('id').orderBy('id', 'desc').limit(1).executeTakeFirst()
  return row?.id
}

/** Ends these sessions for good, in one transaction, and returns the ids of those that were not revoked already. */
export async function revokeSessions(
  { transact }: Database,
  ids: readonly Buffer[],
  { now, reason }: { readonly now: number; readonly reason: string },
): Promise<readonly Buffer[]> {
  return transact(async transaction => {
    const revoked = await transaction
      .updateTable('sessions')
      .set({ revoked_at: now, revoke_reason: reason })
      .where('id', 'in', ids)
      .where('revoked_at', 'is', null)
      .returning(['id', 'status_position'])
      .execute()
    if (revoked.length > 0) {
      await transaction
        .insertInto('revocations')
        .values(
          revoked.map(({ id, status_position }) => ({ session_id: id, status_position, revoked_at: now })),
        )
        .execute()
    }
    return revoked.map(({ id }) => id)
  })
}
