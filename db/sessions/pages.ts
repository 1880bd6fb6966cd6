import type { Database } from '../database.ts'
import type { SessionTable } from '../schema.ts'
import type { Writer } from '../writer.ts'
import type { ToldEnd } from './end-reasons.ts'
import { writeEnds } from './revocations.ts'
import { lastId, nextOfIndex, readFill, type IdRange } from './session-index.ts'
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
  /** Up to this one, in the order in which they began, which is that of their ids. */
  readonly upTo?: Buffer
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

/** Along what sessions are looked for, in the order of their ids. */
export type Way =
  /** The index that serves the filter: it may lack, for an hour, what an older server has started. */
  | 'index'
  /** The sessions of a user, or all there are: for what must pass none over. */
  | 'sessions'

const pageSize = 500

/** Sessions in the order in which they began, read page by page: as many as there are fit into any memory. */
export async function* listSessions(
  db: Database,
  filter: SessionFilter,
  way: Way = 'sessions',
): AsyncGenerator<ListedSession> {
  let after: Buffer | undefined
  do {
    const page = await pageOfSessions(db, filter, { after, limit: pageSize }, way)
    yield* page.sessions
    after = page.next
  } while (after)
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
  { after: begin = noId, limit }: { readonly after: Buffer | undefined; readonly limit: number },
  way: Way = 'sessions',
): Promise<SessionPage> {
  const found: ListedSession[] = []
  let after = begin
  for (let looked = 0; looked < rowsMax;) {
    // Where most of them count, the first few are enough.
    const most = Math.min(looked === 0 ? limit + 1 : pageSize, rowsMax - looked)
    const ids = await nextIds(db, filter, { after, limit: most }, way)
    found.push(...(await readListed(db, filter, ids)))
    if (found.length > limit) return { sessions: found.slice(0, limit), next: found[limit - 1]?.id }
    if (ids.length < most) return { sessions: found, next: undefined }
    after = ids.at(-1) ?? after
    looked += ids.length
  }
  return { sessions: found, next: after }
}

/** How many rows are looked at in order to count, a page at a time. */
const countedRowsMax = 100_000

/** A number of sessions, as far as it is worth the counting. */
export interface BoundedCount {
  readonly count: number
  /** Whether there may be more. */
  readonly isMore: boolean
}

/** How many there are, up to a number of them. */
export async function countSessions(
  db: Database,
  filter: SessionFilter,
  max = 10_000,
): Promise<BoundedCount> {
  let count = 0
  let after: Buffer = noId
  for (let looked = 0; looked < countedRowsMax; looked += rowsMax) {
    const ids = await nextIds(db, filter, { after, limit: rowsMax }, 'index')
    count += await countListed(db, filter, ids)
    if (count > max) return { count: max, isMore: true }
    const last = ids.at(-1)
    if (!last || ids.length < rowsMax) return { count, isMore: false }
    after = last
  }
  return { count, isMore: true }
}

const noId = Buffer.alloc(16)

/** The next ids to look at, which the rest of the filter narrows: fewer than the limit are the last. */
async function nextIds(
  db: Database,
  filter: SessionFilter,
  { after, limit }: { readonly after: Buffer; readonly limit: number },
  way: Way,
): Promise<readonly Buffer[]> {
  const { id, userId, clientId, resource, upTo = lastId } = filter
  const isIndexed = way === 'index' && id === undefined && userId === undefined
  if (!isIndexed || (clientId === undefined && resource === undefined))
    return idsOfSessions(db, filter, { after, upTo }, limit)
  const { filled_to, is_filled } = await readFill(db)
  if (is_filled === 1) return nextOfIndex(db, { clientId, resource }, { after, upTo }, limit)
  const filledTo = filled_to ?? noId
  const ids = await nextOfIndex(db, { clientId, resource }, { after, upTo: earlier(filledTo, upTo) }, limit)
  if (ids.length === limit) return ids
  const rest = { after: later(filledTo, after), upTo }
  return [...ids, ...(await idsOfSessions(db, filter, rest, limit - ids.length))]
}

const earlier = (a: Buffer, b: Buffer) => (a.compare(b) < 0 ? a : b)
const later = (a: Buffer, b: Buffer) => (a.compare(b) < 0 ? b : a)

/** The one, a user's, or all. */
async function idsOfSessions(
  { sql }: Database,
  { id, userId, livingAt }: SessionFilter,
  { after, upTo }: IdRange,
  limit: number,
): Promise<readonly Buffer[]> {
  let query = sql.selectFrom('sessions').select('id').where('id', '>', after).where('id', '<=', upTo)
  if (id !== undefined) query = query.where('id', '=', id)
  if (userId !== undefined) query = query.where('user_id', '=', userId)
  if (userId !== undefined && livingAt !== undefined) query = query.where('revoked_at', 'is', null)
  const rows = await query.orderBy('id').limit(limit).execute()
  return rows.map(row => row.id)
}

/** Those of the ids that match, in their order. */
async function readListed(
  db: Database,
  filter: SessionFilter,
  ids: readonly Buffer[],
): Promise<readonly ListedSession[]> {
  if (ids.length === 0) return []
  const rows = await selectMatching(db, filter, ids)
    .select(['sessions.id', 'sessions.user_id', 'sessions.client_id', 'sessions.scope', 'sessions.resource'])
    .select(['generation', 'auth_time', 'rotated_at', 'expires_at', 'absolute_expires_at'])
    .select(['revoked_at', 'revoke_reason', 'user_epoch', 'client_epoch'])
    .select(['users.username', 'users.epoch as users_epoch', 'clients.epoch as clients_epoch'])
    .execute()
  return rows
    .map(row => {
      const { user_epoch, client_epoch, users_epoch, clients_epoch, ...session } = row
      return { ...session, isOfThisEpoch: isOfThisEpoch(row) }
    })
    .sort((a, b) => a.id.compare(b.id))
}

/** Those of a few ids that are there, whatever their state. */
export async function findSessions({ sql }: Database, ids: readonly Buffer[]): Promise<readonly Session[]> {
  const rows = await selectSessions(sql).where('sessions.id', 'in', ids).execute()
  return rows.map(row => ({ ...row, isOfThisEpoch: isOfThisEpoch(row) }))
}

async function countListed(db: Database, filter: SessionFilter, ids: readonly Buffer[]): Promise<number> {
  if (ids.length === 0) return 0
  const { count } = await selectMatching(db, filter, ids)
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow()
  return Number(count)
}

function selectMatching({ sql }: Database, filter: SessionFilter, ids: readonly Buffer[]) {
  const { userId, clientId, resource, unusedSince, livingAt } = filter
  let query = sql
    .selectFrom('sessions')
    .leftJoin('users', 'users.id', 'sessions.user_id')
    .leftJoin('clients', 'clients.id', 'sessions.client_id')
    .where('sessions.id', 'in', ids)
  if (userId !== undefined) query = query.where('sessions.user_id', '=', userId)
  if (clientId !== undefined) query = query.where('sessions.client_id', '=', clientId)
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
