import {
  isAmong,
  latestAuditEntries,
  listAuditEntries,
  pageOfAuditEntries,
  type AuditFilter,
  type AuditPlace,
  type ListedAuditEntry,
} from '../../db/installation/audit.ts'
import { findUser } from '../../db/users/users.ts'
import { Refusal } from '../errors.ts'
import { formatUuid, parseUuid } from '../protocol/secrets.ts'
import { auditPageSize, followAuditTrail } from '../record/audit-follower.ts'
import { eventNames } from '../record/events.ts'
import type { Admin } from './admin.ts'

/** Which entries; a member that is undefined does not matter. Times are seconds since the epoch. */
export interface AuditChoice {
  readonly since?: number | undefined
  readonly until?: number | undefined
  /** The name, or the `sub`. */
  readonly user?: string | undefined
  readonly client?: string | undefined
  readonly session?: Buffer | undefined
  readonly events?: readonly string[] | undefined
  /** Who has done it, as the trail names him: `client ID`, `command USER`, `user SUB`, `server`, `nobody`. */
  readonly actor?: string | undefined
  readonly requestId?: string | undefined
}

/**
 * Entries in the order of their times, as they are read: there may be any number. Refuses a user name that is
 * unknown.
 */
export async function listAudit(
  { db }: Admin,
  choice: AuditChoice,
): Promise<AsyncIterable<ListedAuditEntry>> {
  return listAuditEntries(db, await filterOf(db, choice))
}

export interface AuditPage {
  readonly entries: readonly DescribedAuditEntry[]
  /** The next page is before this one. */
  readonly next: AuditPlace | undefined
}

/**
 * One page of the entries, the newest first. It costs the same wherever it begins, and may be shorter than
 * its limit, even empty. Refuses an unknown event, and a filter that no index serves.
 */
export async function pageOfAudit(
  { db }: Pick<Admin, 'db'>,
  choice: AuditChoice,
  page: { readonly before: AuditPlace | undefined; readonly limit: number },
): Promise<AuditPage> {
  refuseUnknownEvents(choice)
  refuseUnindexed(choice)
  const { entries, next } = await pageOfAuditEntries(db, await filterOf(db, choice), page)
  return { entries: entries.map(describeAuditEntry), next }
}

/** Tells which entries are chosen, as they come: along no index. Refuses an unknown event, or user name. */
export async function chooseAudit(
  { db }: Pick<Admin, 'db'>,
  choice: AuditChoice,
): Promise<(entry: ListedAuditEntry) => boolean> {
  refuseUnknownEvents(choice)
  const filter = await filterOf(db, choice)
  return entry => isAmong(entry, filter)
}

function refuseUnknownEvents({ events = [] }: AuditChoice): void {
  const unknown = events.find(event => !eventNames.some(name => name === event))
  if (unknown === undefined) return
  throw new Refusal(
    'invalid',
    `there is no event ${unknown}: they are ${eventNames.join(', ')}`,
    undefined,
    'event',
  )
}

/** These narrow a walk along an index: through the entries of a user, or of some time. */
function refuseUnindexed({ user, since, client, session, events, actor, requestId }: AuditChoice): void {
  if (user !== undefined || since !== undefined) return
  const filters = { client_id: client, sid: session, event: events, actor, request_id: requestId }
  for (const [field, value] of Object.entries(filters)) {
    if (value === undefined) continue
    const text = `no index serves ${field} alone: it goes together with sub or since; without a filter all are listed`
    throw new Refusal('invalid', text, undefined, field)
  }
}

/**
 * The last entries and, without end, each one that is written from then on. Refuses a user name that is
 * unknown.
 */
export async function followAudit(
  { db, clock }: Admin,
  choice: AuditChoice,
  options: { readonly last: number },
): Promise<AsyncIterable<ListedAuditEntry>> {
  return follow({ db, clock }, await filterOf(db, choice), options)
}

/** The id of an entry, as its document has it. */
export const nameOfPlace = ({ at, id }: AuditPlace): string => `${at}-${id}`

/** The place that has this name; undefined where it is no such name. */
export function placeNamed(text: string): AuditPlace | undefined {
  const [, at, id] = /^(\d{1,15})-(\d{1,15})$/.exec(text) ?? []
  return at === undefined ? undefined : { at: Number(at), id: Number(id) }
}

export type DescribedAuditEntry = ReturnType<typeof describeAuditEntry>

/** The document of an entry. */
export function describeAuditEntry(entry: ListedAuditEntry) {
  const { id, at, event, actor, user_id, username, client_id, session_id, address, request_id, count } = entry
  const detail: unknown = entry.detail === null ? {} : JSON.parse(entry.detail)
  return {
    id: nameOfPlace({ at, id }),
    at,
    event,
    actor,
    sub: user_id && formatUuid(user_id),
    username,
    client_id,
    sid: session_id && formatUuid(session_id),
    address,
    request_id,
    count,
    detail,
  }
}

/** A client or a user with a `sub` may be gone by now: entries about them are found all the same. */
async function filterOf(
  db: Admin['db'],
  { since, until, user, client, session, events, actor, requestId }: AuditChoice,
): Promise<AuditFilter> {
  const userId = user === undefined ? undefined : await userIdOf(db, user)
  return {
    ...(since !== undefined && { since }),
    ...(until !== undefined && { until }),
    ...(userId !== undefined && { userId }),
    ...(client !== undefined && { clientId: client }),
    ...(session !== undefined && { sessionId: session }),
    ...(events !== undefined && { events }),
    ...(actor !== undefined && { actor }),
    ...(requestId !== undefined && { requestId }),
  }
}

async function userIdOf(db: Admin['db'], text: string): Promise<Buffer> {
  const id = parseUuid(text.toLowerCase()) ?? (await findUser(db, text.normalize('NFC')))?.id
  if (!id) throw new Refusal('not_found', `there is no user ${text}`, 'of one that was deleted, name the sub')
  return id
}

/** How long it rests before it looks for new entries. */
const pauseSeconds = 0.5

async function* follow(
  { db, clock }: Pick<Admin, 'db' | 'clock'>,
  filter: AuditFilter,
  { last }: { readonly last: number },
): AsyncGenerator<ListedAuditEntry> {
  const follower = await followAuditTrail(db, clock)
  yield* await latestAuditEntries(db, { ...filter, upTo: follower.place().id }, last)
  for (;;) {
    const entries = await follower.read()
    yield* entries.filter(entry => isAmong(entry, filter))
    if (entries.length < auditPageSize) await clock.pause(pauseSeconds)
  }
}
