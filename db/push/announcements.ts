import type { Insertable, Kysely } from 'kysely'
import type { EventTable, Tables } from '../schema.ts'
import { someAtOnce, someRowsAtOnce } from '../some-at-once.ts'
import { step, type Steps } from '../steps.ts'
import { keepDisabled, takeDisabled } from './disabled-users.ts'
import { readReach, type Reach } from './exchange-reach.ts'

/** Something to announce. The database says who may be told, and of which sessions. */
export type Announcement = {
  /** Of its own: 16 random bytes. */
  readonly id: Buffer
  readonly at: number
  readonly reason: string
} & AnnouncedThing

export type AnnouncedThing =
  | { readonly kind: 'session'; readonly sessionId: Buffer }
  /** So many that listeners are not told their names. */
  | { readonly kind: 'sessions'; readonly sessionIds: readonly Buffer[] }
  | { readonly kind: 'sign_in'; readonly userId: Buffer; readonly detail: { readonly sign_in: string } }
  /** All that an epoch has ended. */
  | { readonly kind: 'user'; readonly userId: Buffer }
  /** With the resources of a client that is there no more. */
  | { readonly kind: 'client'; readonly clientId: string; readonly resources?: string }
  | { readonly kind: 'all' }
  | { readonly kind: 'credential'; readonly userId: Buffer; readonly detail: CredentialChange }
  /** A user who was disabled may log in again. */
  | { readonly kind: 'account'; readonly userId: Buffer }
  /** A log-in of a user has reached another level, or reaches it no more. */
  | { readonly kind: 'assurance'; readonly userId: Buffer; readonly detail: AssuranceChange }

export interface CredentialChange {
  readonly credential: 'passkey' | 'totp' | 'recovery_codes'
  readonly change: 'added' | 'removed' | 'renewed'
}

/** Levels (`acr`) of a log-in. */
export interface AssuranceChange {
  readonly acr: string
  readonly previous_acr: string
}

/** A session that an event names, and the resources whose APIs may be told. */
export type NamedSession = readonly [id: string, audiences: string]

/** What the row of a `user`, `client` or `all` has. */
export interface EndedDetail {
  /** All sessions that began before that second have ended; undefined where those are named that have. */
  readonly before?: number
  readonly sessions: readonly NamedSession[]
}

/** The row of `sessions` has it where there are streams, whose receivers know of no status list. */
export interface ManyDetail {
  readonly sessions: readonly ManyEnded[]
}

/** Ids are in hexadecimal digits. */
export type ManyEnded = readonly [id: string, userId: string | null, clientId: string, audiences: string]

type NewEvent = Insertable<EventTable>

/**
 * Part of the transaction of what is announced, and the last one: from here on, others wait for it who have
 * something to announce.
 */
export function* addAnnouncements(sql: Kysely<Tables>, announcements: readonly Announcement[]): Steps<void> {
  if (announcements.length === 0) return
  const found = yield* findSessions(
    sql,
    announcements.flatMap(one =>
      'sessionId' in one ? [one.sessionId] : 'sessionIds' in one ? one.sessionIds : [],
    ),
  )
  const reach = yield* readReach(sql)
  const rows: NewEvent[] = []
  for (const one of announcements) rows.push(yield* rowOf({ sql, reach }, one, found))
  for (const some of someRowsAtOnce(rows)) yield* step(sql.insertInto('events').values(some).compile())
}

/** What an announcement needs of a session. */
interface FoundSession {
  readonly id: Buffer
  readonly user_id: Buffer | null
  readonly client_id: string
  readonly resource: string | null
  readonly resources: string | null
}

/** What announcements are made with, in a transaction. */
interface Announcing {
  readonly sql: Kysely<Tables>
  readonly reach: Reach
}

/**
 * A session of no resource in particular may have had tokens for all those of its client; and any, for what
 * those may be exchanged for.
 */
const audiencesBy =
  (reach: Reach) =>
  ({ resource, resources }: Pick<FoundSession, 'resource' | 'resources'>) =>
    reach(resource ?? resources ?? '')

const hexOf = (id: Buffer) => id.toString('hex')

function sessionsWithClients(sql: Kysely<Tables>) {
  return sql
    .selectFrom('sessions')
    .leftJoin('clients', 'clients.id', 'sessions.client_id')
    .select([
      'sessions.id',
      'sessions.user_id',
      'sessions.client_id',
      'sessions.resource',
      'clients.resources',
    ])
}

function* findSessions(
  sql: Kysely<Tables>,
  ids: readonly Buffer[],
): Steps<ReadonlyMap<string, FoundSession>> {
  const found = new Map<string, FoundSession>()
  for (const some of someAtOnce(ids)) {
    const { rows } = yield* step(sessionsWithClients(sql).where('sessions.id', 'in', some).compile())
    for (const row of rows) found.set(hexOf(row.id), row)
  }
  return found
}

function* rowOf(
  { sql, reach }: Announcing,
  announcement: Announcement,
  found: ReadonlyMap<string, FoundSession>,
): Steps<NewEvent> {
  const { id, at, kind, reason } = announcement
  const audiencesOf = audiencesBy(reach)
  const plain = {
    id,
    at,
    kind,
    reason,
    audiences: '',
    user_id: null,
    client_id: null,
    session_id: null,
    detail: null,
  }
  switch (announcement.kind) {
    case 'session': {
      const { sessionId: session_id } = announcement
      const session = found.get(hexOf(session_id))
      if (!session) return { ...plain, session_id }
      const { user_id, client_id } = session
      return { ...plain, session_id, user_id, client_id, audiences: audiencesOf(session) }
    }
    case 'sessions': {
      const sessions = announcement.sessionIds.flatMap(one => found.get(hexOf(one)) ?? [])
      const audiences = union(sessions.map(audiencesOf))
      const detail = (yield* hasStreams(sql)) ? manyDetail(sessions, audiencesOf) : null
      return { ...plain, audiences, detail }
    }
    case 'sign_in':
      return { ...plain, user_id: announcement.userId, detail: JSON.stringify(announcement.detail) }
    case 'user': {
      const { userId: user_id } = announcement
      const ofUser = { ...plain, user_id, ...named(yield* endedOfUser(sql, user_id), audiencesOf) }
      if (reason === 'user disabled') yield* keepDisabled(sql, ofUser)
      if (reason !== 'user deleted') return ofUser
      return { ...ofUser, audiences: union([ofUser.audiences, (yield* takeDisabled(sql, user_id)) ?? '']) }
    }
    case 'client': {
      const { clientId: client_id } = announcement
      const audiences = reach(yield* resourcesOf(sql, client_id, announcement.resources))
      const ended = yield* endedBefore({ sql, reach }, at, client_id, audiences)
      return { ...plain, client_id, audiences, detail: ended }
    }
    case 'all':
      return { ...plain, audiences: null, detail: yield* endedBefore({ sql, reach }, at) }
    case 'credential':
    case 'assurance': {
      const { userId: user_id, detail } = announcement
      const { rows } = yield* step(livingOfUser(sql, user_id).compile())
      return { ...plain, user_id, audiences: union(rows.map(audiencesOf)), detail: JSON.stringify(detail) }
    }
    case 'account': {
      const { userId: user_id } = announcement
      const kept = yield* takeDisabled(sql, user_id)
      if (kept !== undefined) return { ...plain, user_id, audiences: kept }
      const { rows } = yield* step(sessionsWithClients(sql).where('sessions.user_id', '=', user_id).compile())
      return { ...plain, user_id, audiences: union(rows.map(audiencesOf)) }
    }
  }
}

function* hasStreams(sql: Kysely<Tables>): Steps<boolean> {
  const { rows } = yield* step(
    sql.selectFrom('streams').select('id').where('status', '!=', 'disabled').limit(1).compile(),
  )
  return rows.length > 0
}

function manyDetail(
  sessions: readonly FoundSession[],
  audiencesOf: (session: FoundSession) => string,
): string {
  const ended = sessions.map((one): ManyEnded => [
    hexOf(one.id),
    one.user_id && hexOf(one.user_id),
    one.client_id,
    audiencesOf(one),
  ])
  return JSON.stringify({ sessions: ended } satisfies ManyDetail)
}

function union(audiences: readonly string[]): string {
  return [...new Set(audiences.flatMap(some => some.split(' ')))].filter(one => one !== '').join(' ')
}

function named(sessions: readonly FoundSession[], audiencesOf: (session: FoundSession) => string) {
  const detail: EndedDetail = { sessions: sessions.map(one => [hexOf(one.id), audiencesOf(one)]) }
  return { audiences: union(sessions.map(audiencesOf)), detail: JSON.stringify(detail) }
}

function livingOfUser(sql: Kysely<Tables>, userId: Buffer) {
  return sessionsWithClients(sql)
    .where('sessions.user_id', '=', userId)
    .where('sessions.revoked_at', 'is', null)
}

/** Those of an earlier epoch than the user's: some may go on. A deleted user has none. */
function* endedOfUser(sql: Kysely<Tables>, userId: Buffer): Steps<readonly FoundSession[]> {
  const ended = livingOfUser(sql, userId)
    .leftJoin('users', 'users.id', 'sessions.user_id')
    .where(({ or, eb }) =>
      or([eb('users.epoch', 'is', null), eb('users.epoch', '!=', eb.ref('sessions.user_epoch'))]),
    )
  return (yield* step(ended.compile())).rows
}

function* resourcesOf(sql: Kysely<Tables>, clientId: string, ofDeleted = ''): Steps<string> {
  const { rows } = yield* step(
    sql.selectFrom('clients').select('resources').where('id', '=', clientId).compile(),
  )
  return rows[0]?.resources ?? ofDeleted
}

/** Clocks of instances, and the time that a commit takes, differ by less. */
const marginSeconds = 2

/** More begin within these seconds only where a clock was wrong; the status list tells of those. */
const namedMax = 5000

/**
 * All sessions that began before now have ended. Ids tell the second in which one began: those of the last
 * seconds are named, so that none is meant which begins after this.
 */
function* endedBefore(
  { sql, reach }: Announcing,
  at: number,
  clientId?: string,
  resources = '',
): Steps<string> {
  const before = at - marginSeconds
  const first = Buffer.alloc(16)
  first.writeUIntBE(before * 1000, 0, 6)
  const lately = sessionsWithClients(sql)
    .where('sessions.id', '>=', first)
    .where('sessions.revoked_at', 'is', null)
    .$if(clientId !== undefined, query => query.where('sessions.client_id', '=', clientId ?? ''))
    .orderBy('sessions.id', 'desc')
    .limit(namedMax)
  const { rows } = yield* step(lately.compile())
  const detail: EndedDetail = {
    before,
    sessions: rows.map(one => [hexOf(one.id), reach(one.resource ?? one.resources ?? resources)]),
  }
  return JSON.stringify(detail)
}
