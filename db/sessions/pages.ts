import type { Database } from '../database.ts'
import type { SessionTable } from '../schema.ts'
import type { Writer } from '../writer.ts'
import type { ToldEnd } from './end-reasons.ts'
import { writeEnds } from './revocations.ts'
import { isOfThisEpoch, selectSessions, type Session } from './sessions.ts'

/** The sessions to read; a member left out does not matter. */
export interface SessionFilter {
  readonly id?: Buffer
  readonly userId?: Buffer
  readonly clientId?: string
  /**
   * Whose tokens are for this API: bound to it, or to none and of one of these clients, which may ask for it.
   */
  readonly resource?: { readonly uri: string; readonly clientIds: readonly string[] }
  /** Up to this one, in the order in which they began. */
  readonly upTo?: Buffer
  /** That began at this time or earlier. */
  readonly beganBy?: number
  /** That were not used after this time. */
  readonly unusedSince?: number
  /**
   * Only those that live at this time: not revoked, not expired, of their user's and client's present epoch.
   */
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

/** So many rows are looked at for one page, however few of them count: then the page is a short one. */
const rowsMax = 1000

export interface SessionPage {
  readonly sessions: readonly ListedSession[]
  /** The session after which the next page begins; undefined once all were looked at. */
  readonly next: Buffer | undefined
}

/** One page of sessions in the order in which they began. It costs the same wherever it begins. */
export async function pageOfSessions(
  db: Database,
  filter: SessionFilter,
  { after, limit }: { readonly after: Buffer | undefined; readonly limit: number },
): Promise<SessionPage> {
  const from = after ?? Buffer.alloc(16)
  const { id, userId, upTo, livingAt } = filter
  // Along the index: by user, or all.
  let rows = db.sql.selectFrom('sessions').where('id', '>', from)
  if (id !== undefined) rows = rows.where('id', '=', id)
  if (userId !== undefined) rows = rows.where('user_id', '=', userId)
  if (userId !== undefined && livingAt !== undefined) rows = rows.where('revoked_at', 'is', null)
  if (upTo !== undefined) rows = rows.where('id', '<=', upTo)
  const last = await rows
    .select('id')
    .orderBy('id')
    .offset(rowsMax - 1)
    .limit(1)
    .executeTakeFirst()
  const found = await sessionPage(db, last ? { ...filter, upTo: last.id } : filter, from, limit + 1)
  const sessions = found.slice(0, limit)
  return { sessions, next: found.length > limit ? sessions.at(-1)?.id : last?.id }
}

async function sessionPage(
  db: Database,
  filter: SessionFilter,
  after: Buffer,
  limit = pageSize,
): Promise<ListedSession[]> {
  const rows = await selectMatching(db, filter)
    .select(['sessions.id', 'sessions.user_id', 'sessions.client_id', 'sessions.scope', 'sessions.resource'])
    .select(['generation', 'auth_time', 'rotated_at', 'expires_at', 'absolute_expires_at'])
    .select(['revoked_at', 'revoke_reason', 'user_epoch', 'client_epoch'])
    .select(['users.username', 'users.epoch as users_epoch', 'clients.epoch as clients_epoch'])
    .where('sessions.id', '>', after)
    .orderBy('sessions.id')
    .limit(limit)
    .execute()
  return rows.map(row => {
    const { user_epoch, client_epoch, users_epoch, clients_epoch, ...session } = row
    return { ...session, isOfThisEpoch: isOfThisEpoch(row) }
  })
}

/** Those of a few ids that are there, whatever their state. */
export async function findSessions({ sql }: Database, ids: readonly Buffer[]): Promise<readonly Session[]> {
  const rows = await selectSessions(sql).where('sessions.id', 'in', ids).execute()
  return rows.map(row => ({ ...row, isOfThisEpoch: isOfThisEpoch(row) }))
}

/** How many there are. */
export async function countSessions(db: Database, filter: SessionFilter): Promise<number> {
  const { count } = await selectMatching(db, filter)
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow()
  return Number(count)
}

function selectMatching({ sql }: Database, filter: SessionFilter) {
  const { id, userId, clientId, resource, upTo, beganBy, unusedSince, livingAt } = filter
  let query = sql
    .selectFrom('sessions')
    .leftJoin('users', 'users.id', 'sessions.user_id')
    .leftJoin('clients', 'clients.id', 'sessions.client_id')
  if (id !== undefined) query = query.where('sessions.id', '=', id)
  if (userId !== undefined) query = query.where('sessions.user_id', '=', userId)
  if (upTo !== undefined) query = query.where('sessions.id', '<=', upTo)
  if (clientId !== undefined) query = query.where('sessions.client_id', '=', clientId)
  if (beganBy !== undefined) query = query.where('auth_time', '<=', beganBy)
  if (unusedSince !== undefined) query = query.where('rotated_at', '<=', unusedSince)
  if (resource !== undefined) {
    const { uri, clientIds } = resource
    query = query.where(({ eb, or, and }) =>
      or([
        eb('sessions.resource', '=', uri),
        ...(clientIds.length === 0
          ? []
          : [and([eb('sessions.resource', 'is', null), eb('sessions.client_id', 'in', clientIds)])]),
      ]),
    )
  }
  if (livingAt === undefined) return query
  return query
    .where('revoked_at', 'is', null)
    .where('expires_at', '>', livingAt)
    .whereRef('clients.epoch', '=', 'client_epoch')
    .where(({ or, eb }) =>
      or([eb('sessions.user_id', 'is', null), eb('users.epoch', '=', eb.ref('user_epoch'))]),
    )
}

/** The id of the session that began last. */
export async function latestSessionId({ sql }: Database): Promise<Buffer | undefined> {
  const row = await sql.selectFrom('sessions').select('id').orderBy('id', 'desc').limit(1).executeTakeFirst()
  return row?.id
}

/**
 * Ends these sessions for good, in one transaction, and returns the ids of those that were not revoked
 * already.
 */
export async function revokeSessions(
  { transactAtOnce }: Writer,
  ids: readonly Buffer[],
  end: ToldEnd,
): Promise<readonly Buffer[]> {
  return transactAtOnce(sql => writeEnds(sql, ids, end))
}
