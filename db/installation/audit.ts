import type { Selectable } from 'kysely'
import type { Database } from '../database.ts'
import type { AuditTable } from '../schema.ts'
import { addAuditEntries, type NewAuditEntry, type Writer } from '../writer.ts'

/** Writes what has changed nothing else. */
export async function insertAuditEntries(
  { transact }: Writer,
  entries: readonly NewAuditEntry[],
): Promise<void> {
  if (entries.length === 0) return
  await transact(async transaction => {
    await addAuditEntries(transaction, entries)
    return true
  })
}

/** One thing that happened, or several of one kind (`count`). */
export type AuditEntry = Selectable<AuditTable>

/** The entries to read; a member left out does not matter. Times are seconds since the epoch. */
export interface AuditFilter {
  readonly since?: number
  readonly until?: number
  readonly userId?: Buffer
  readonly clientId?: string
  readonly sessionId?: Buffer
  readonly events?: readonly string[]
  /** As the trail names it. */
  readonly actor?: string
  readonly requestId?: string
  /** None that was written later than the one with this id. */
  readonly upTo?: number
}

/** With the name of its user, unless there is none any more. */
export type ListedAuditEntry = AuditEntry & { readonly username: string | null }

const pageSize = 500

/** Entries in the order of their times, read page by page: as many as there are fit into any memory. */
export async function* listAuditEntries(db: Database, filter: AuditFilter): AsyncGenerator<ListedAuditEntry> {
  const { since, ...rest } = filter
  let after: AuditPlace | undefined
  for (;;) {
    // Of two bounds at the same end an index serves one: each page would begin where the first one did.
    let query = selectMatching(db, after || since === undefined ? rest : { ...rest, since })
    if (after) {
      const { at, id } = after
      query = query.where(({ eb, refTuple, tuple }) => eb(refTuple('at', 'audit.id'), '>', tuple(at, id)))
    }
    const page: readonly ListedAuditEntry[] = await query
      .orderBy('at')
      .orderBy('audit.id')
      .limit(pageSize)
      .execute()
    yield* page
    const last = page.at(-1)
    if (!last || page.length < pageSize) return
    after = last
  }
}

/** The last entries, the oldest of them first. */
export async function latestAuditEntries(
  db: Database,
  filter: AuditFilter,
  limit: number,
): Promise<ListedAuditEntry[]> {
  const newestFirst = await selectMatching(db, filter)
    .orderBy('at', 'desc')
    .orderBy('audit.id', 'desc')
    .limit(limit)
    .execute()
  return newestFirst.reverse()
}

/** Where an entry has its place in the order of their times. */
export type AuditPlace = Pick<AuditEntry, 'at' | 'id'>

/** So many rows are looked at for one page, however few of them count: then the page is a short one. */
const rowsMax = 2000

export interface AuditPage {
  readonly entries: readonly ListedAuditEntry[]
  /** The next page is before this one; undefined once all were looked at. */
  readonly next: AuditPlace | undefined
}

/** One page of the entries, the newest first. It costs the same wherever it begins. */
export async function pageOfAuditEntries(
  db: Database,
  filter: AuditFilter,
  { before, limit }: { readonly before: AuditPlace | undefined; readonly limit: number },
): Promise<AuditPage> {
  const { since, until, userId, ...others } = filter
  const isWhole = Object.keys(others).length === 0
  // Of two bounds at the same end an index serves one: the page before says more than the filter.
  const upper = before || until === undefined ? {} : { until }
  const last = isWhole ? undefined : await lastOfWalk(db, { ...upper, since, userId, before })
  const lower = last || since === undefined ? {} : { since }
  let query = selectMatching(db, { ...others, ...(userId && { userId }), ...upper, ...lower })
  if (before)
    query = query.where(({ eb, refTuple, tuple }) =>
      eb(refTuple('at', 'audit.id'), '<', tuple(before.at, before.id)),
    )
  if (last)
    query = query.where(({ eb, refTuple, tuple }) =>
      eb(refTuple('at', 'audit.id'), '>=', tuple(last.at, last.id)),
    )
  const found = await query
    .orderBy('at', 'desc')
    .orderBy('audit.id', 'desc')
    .limit(limit + 1)
    .execute()
  const entries = found.slice(0, limit)
  return { entries, next: found.length > limit ? entries.at(-1) : last }
}

interface Walk {
  readonly since: number | undefined
  readonly until?: number
  readonly userId: Buffer | undefined
  readonly before: AuditPlace | undefined
}

/** How far a page goes at the most, along the index by user or of all; undefined where it ends before. */
async function lastOfWalk(
  { sql }: Database,
  { since, until, userId, before }: Walk,
): Promise<AuditPlace | undefined> {
  let walk = sql.selectFrom('audit').select(['at', 'id'])
  if (since !== undefined) walk = walk.where('at', '>=', since)
  if (until !== undefined) walk = walk.where('at', '<', until)
  if (userId !== undefined) walk = walk.where('user_id', '=', userId)
  if (before)
    walk = walk.where(({ eb, refTuple, tuple }) => eb(refTuple('at', 'id'), '<', tuple(before.at, before.id)))
  return walk
    .orderBy('at', 'desc')
    .orderBy('id', 'desc')
    .offset(rowsMax - 1)
    .limit(1)
    .executeTakeFirst()
}

/** All entries, with the names of their users. */
export function selectEntries({ sql }: Database) {
  return sql
    .selectFrom('audit')
    .leftJoin('users', 'users.id', 'audit.user_id')
    .selectAll('audit')
    .select('users.username')
}

function selectMatching(
  db: Database,
  { since, until, userId, clientId, sessionId, events, actor, requestId, upTo }: AuditFilter,
) {
  let query = selectEntries(db)
  if (since !== undefined) query = query.where('at', '>=', since)
  if (until !== undefined) query = query.where('at', '<', until)
  if (userId !== undefined) query = query.where('user_id', '=', userId)
  if (clientId !== undefined) query = query.where('client_id', '=', clientId)
  if (sessionId !== undefined) query = query.where('session_id', '=', sessionId)
  if (events !== undefined) query = query.where('event', 'in', events)
  if (actor !== undefined) query = query.where('actor', '=', actor)
  if (requestId !== undefined) query = query.where('request_id', '=', requestId)
  if (upTo !== undefined) query = query.where('audit.id', '<=', upTo)
  return query
}

/** Whether it is among those, as `listAuditEntries` reads them. */
export function isAmong(
  entry: AuditEntry,
  { since, until, userId, clientId, sessionId, events, actor, requestId, upTo }: AuditFilter,
): boolean {
  const { id, at, event, user_id, client_id, session_id } = entry
  return (
    (since === undefined || at >= since) &&
    (until === undefined || at < until) &&
    (userId === undefined || user_id?.equals(userId) === true) &&
    (clientId === undefined || client_id === clientId) &&
    (sessionId === undefined || session_id?.equals(sessionId) === true) &&
    (events === undefined || events.includes(event)) &&
    (actor === undefined || entry.actor === actor) &&
    (requestId === undefined || entry.request_id === requestId) &&
    (upTo === undefined || id <= upTo)
  )
}

/** Deletes entries of before that time, at most `limit`, and returns how many there were. */
export async function deleteAuditEntries(
  { sql }: Database,
  { before, limit }: { readonly before: number; readonly limit: number },
): Promise<number> {
  const { numDeletedRows } = await sql
    .deleteFrom('audit')
    .where('id', 'in', ({ selectFrom }) =>
      selectFrom('audit').select('id').where('at', '<', before).orderBy('at').limit(limit),
    )
    .executeTakeFirstOrThrow()
  return Number(numDeletedRows)
}
