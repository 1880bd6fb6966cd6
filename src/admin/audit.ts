import {
  latestAuditEntries,
  listAuditEntries,
  type AuditFilter,
  type ListedAuditEntry,
} from '../../db/installation/audit.ts'
import { findUser } from '../../db/users/users.ts'
import { Refusal } from '../errors.ts'
import { formatUuid, parseUuid } from '../protocol/secrets.ts'
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

/** The document of an entry. */
export function describeAuditEntry(entry: ListedAuditEntry) {
  const { at, event, actor, user_id, username, client_id, session_id, address, request_id, count } = entry
  const detail: unknown = entry.detail === null ? {} : JSON.parse(entry.detail)
  return {
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
  { since, until, user, client, session, events }: AuditChoice,
): Promise<AuditFilter> {
  const userId = user === undefined ? undefined : await userIdOf(db, user)
  return {
    ...(since !== undefined && { since }),
    ...(until !== undefined && { until }),
    ...(userId !== undefined && { userId }),
    ...(client !== undefined && { clientId: client }),
    ...(session !== undefined && { sessionId: session }),
    ...(events !== undefined && { events }),
  }
}

async function userIdOf(db: Admin['db'], text: string): Promise<Buffer> {
  const id = parseUuid(text.toLowerCase()) ?? (await findUser(db, text.normalize('NFC')))?.id
  if (!id) throw new Refusal('not_found', `there is no user ${text}`, 'of one that was deleted, name the sub')
  return id
}

/** How long it rests before it looks for new entries. */
const pauseSeconds = 0.5

/**
 * A count of a flood is written up to a minute after what it counts, and transactions may overtake each
 * other.
 */
const latestSeconds = 90

async function* follow(
  { db, clock }: Pick<Admin, 'db' | 'clock'>,
  filter: AuditFilter,
  { last }: { readonly last: number },
): AsyncGenerator<ListedAuditEntry> {
  let since = clock.now() - latestSeconds
  const seen = new Map<number, number>()
  for await (const { id, at } of listAuditEntries(db, { ...filter, since })) seen.set(id, at)
  const latest = await latestAuditEntries(db, filter, last)
  // One that has come in between is new.
  yield* latest.filter(({ id, at }) => at < since || seen.has(id))
  for (;;) {
    for await (const entry of listAuditEntries(db, { ...filter, since })) {
      if (!seen.has(entry.id)) yield entry
      seen.set(entry.id, entry.at)
    }
    since = clock.now() - latestSeconds
    for (const [id, at] of seen) if (at < since) seen.delete(id)
    await clock.pause(pauseSeconds)
  }
}
