import type { SweeperTable } from '../../db/schema.ts'
import {
  countSessions as countSessionRows,
  listSessions as listSessionRows,
  pageOfSessions as pageOfSessionRows,
  type BoundedCount,
  type ListedSession,
  type SessionFilter,
} from '../../db/sessions/pages.ts'
import { summarizeSessions as summarizeRows, type SessionCounts } from '../../db/sessions/summary.ts'
import { countPages, readSweeper } from '../../db/sessions/sweeper.ts'
import { endChosenSessions, type ChosenEndOptions } from '../endings/end-chosen.ts'
import { endAllSessions, endSessionsOfClient, endSessionsOfUser, type EndOptions } from '../endings/end.ts'
import type { FinishedWork } from '../endings/finish.ts'
import { Refusal } from '../errors.ts'
import { formatUuid, lastUuidOf } from '../protocol/secrets.ts'
import { keepSeconds } from '../sessions/retention.ts'
import { itemsOf } from '../values/list.ts'
import type { Admin } from './admin.ts'
import { existingClient, listClients } from './clients.ts'
import { existingResource } from './resources.ts'
import { existingUser } from './users.ts'

/** Which sessions; a member that is undefined does not matter. Durations are seconds. */
export interface SessionChoice {
  /** The name, or the `sub`. */
  readonly user?: string | undefined
  readonly client?: string | undefined
  readonly resource?: string | undefined
  readonly id?: Buffer | undefined
  readonly olderThan?: number | undefined
  /** That began before this time, in seconds since the epoch. */
  readonly before?: number | undefined
  readonly idleFor?: number | undefined
}

export interface ChosenSessions {
  readonly choice: SessionChoice
  /** The name of the user that is chosen, if one is. */
  readonly username: string | undefined
  readonly filter: SessionFilter
  /** The choice, by the names of the RFCs. */
  readonly document: {
    readonly sub?: string
    readonly client_id?: string
    readonly resource?: string
    readonly sid?: string
  }
}

/** Finds which sessions are meant. Refuses a user, client or resource that is unknown. */
export async function chooseSessions(admin: Admin, choice: SessionChoice): Promise<ChosenSessions> {
  const { client, resource, id, olderThan, before, idleFor } = choice
  const now = admin.clock.now()
  const beganBy = Math.min(
    olderThan === undefined ? Infinity : now - olderThan,
    before === undefined ? Infinity : before - 1,
  )
  const user = choice.user === undefined ? undefined : await existingUser(admin, choice.user)
  if (client !== undefined) await existingClient(admin, client)
  const clientIds = resource === undefined ? [] : await clientsOf(admin, resource)
  return {
    choice,
    username: user?.username,
    filter: {
      ...(user && { userId: user.id }),
      ...(client !== undefined && { clientId: client }),
      ...(resource !== undefined && { resource: { uri: resource, clientIds } }),
      ...(id && { id }),
      ...(beganBy !== Infinity && { upTo: lastUuidOf(beganBy) }),
      ...(idleFor !== undefined && { unusedSince: now - idleFor }),
    },
    document: {
      ...(user && { sub: formatUuid(user.id) }),
      ...(client !== undefined && { client_id: client }),
      ...(resource !== undefined && { resource }),
      ...(id && { sid: formatUuid(id) }),
    },
  }
}

/** The clients whose sessions may ask for tokens of this API without being bound to it. */
async function clientsOf(admin: Admin, uri: string): Promise<readonly string[]> {
  await existingResource(admin, uri)
  const clients = await listClients(admin)
  return clients.filter(({ resources }) => itemsOf(resources).includes(uri)).map(({ id }) => id)
}

/**
 * The chosen sessions as documents, the oldest first, as they are read: those that live, or with `ended` all.
 */
export async function* listSessions(
  { db, clock }: Admin,
  { filter }: ChosenSessions,
  { ended }: { readonly ended: boolean },
): AsyncGenerator<DescribedSession> {
  const now = clock.now()
  const sessions = listSessionRows(db, ended ? filter : { ...filter, livingAt: now }, 'index')
  for await (const session of sessions) yield describeSession(session, now)
}

/** Which page of a list. */
export interface PageChoice {
  /** The id with which the page before has ended. */
  readonly after: Buffer | undefined
  readonly limit: number
}

export interface SessionPage {
  readonly sessions: readonly DescribedSession[]
  readonly next: Buffer | undefined
}

/**
 * One page of the chosen sessions, the oldest first. It costs the same wherever it begins, and may be shorter
 * than its limit. Refuses what no index serves.
 */
export async function pageOfSessions(
  { db, clock }: Admin,
  { filter }: ChosenSessions,
  { ended, ...page }: PageChoice & { readonly ended: boolean },
): Promise<SessionPage> {
  refuseUnindexed(filter)
  const now = clock.now()
  const wanted = ended ? filter : { ...filter, livingAt: now }
  const { sessions, next } = await pageOfSessionRows(db, wanted, page, 'index')
  return { sessions: sessions.map(session => describeSession(session, now)), next }
}

function refuseUnindexed({ unusedSince, ...others }: SessionFilter): void {
  if (unusedSince === undefined || Object.keys(others).length > 0) return
  const text =
    'no index serves idle_for alone: it narrows sub, client_id, resource, older_than or before, and without a ' +
    'filter all sessions are listed'
  throw new Refusal('invalid', text, undefined, 'idle_for')
}

/** One session as its document, whether it lives or not. */
export async function existingSession({ db, clock }: Admin, id: Buffer): Promise<DescribedSession> {
  const { sessions } = await pageOfSessionRows(db, { id }, { after: undefined, limit: 1 })
  const [session] = sessions
  if (!session) throw new Refusal('not_found', `there is no session ${formatUuid(id)}`)
  return describeSession(session, clock.now())
}

export type DescribedSession = ReturnType<typeof describeSession>

/** The document of a session. */
export function describeSession(session: ListedSession, now: number) {
  const { id, user_id, client_id, username, auth_time, rotated_at, expires_at, isOfThisEpoch, ...rest } =
    session
  return {
    sid: formatUuid(id),
    sub: user_id && formatUuid(user_id),
    username,
    client_id,
    state: stateOf(session, now),
    auth_time,
    rotated_at,
    expires_at,
    ...rest,
  }
}

function stateOf(
  { revoked_at, revoke_reason, expires_at, isOfThisEpoch }: ListedSession,
  now: number,
): string {
  if (revoked_at !== null) return `revoked (${revoke_reason})`
  if (!isOfThisEpoch) return 'ended with its user or client'
  return expires_at > now ? 'living' : 'expired'
}

export type { BoundedCount }

/**
 * How many of the chosen sessions live: up to 10,000 are counted. Refuses one that is chosen by its id and
 * does not live.
 */
export async function countChosen(
  { db, clock }: Pick<Admin, 'db' | 'clock'>,
  { choice, filter }: ChosenSessions,
): Promise<BoundedCount> {
  const counted = await countSessionRows(db, { ...filter, livingAt: clock.now() })
  if (counted.count > 0 || counted.isMore || !choice.id) return counted
  const advice = `\`mintmark session list --id ${formatUuid(choice.id)} --ended\` shows what became of it`
  throw new Refusal('not_found', 'no such session lives', advice)
}

export interface RevokedSessions extends FinishedWork {
  /** Whether all of them ended at once, also those whose end no status list tells yet. */
  readonly isAtOnce: boolean
}

/**
 * Ends the chosen sessions. All of a user, of a client, or all there are end at once, by an epoch, which also
 * stops log-ins that are under way; any others one after the other. Refuses a user that was deleted since the
 * choice.
 */
export async function revokeSessions(
  admin: Admin,
  { filter }: ChosenSessions,
  options: ChosenEndOptions,
): Promise<RevokedSessions> {
  if (!isWhole(filter)) return { ...(await endChosenSessions(admin, filter, options)), isAtOnce: false }
  return { ...(await revokeWhole(admin, filter, options)), isAtOnce: true }
}

/** Whether they are all of a user, of a client, or all there are: then they end at once. */
export function isWhole({ userId, clientId, ...more }: SessionFilter): boolean {
  return Object.keys(more).length === 0 && (userId === undefined || clientId === undefined)
}

/** Ends all of a user, of a client, or all there are. Refuses a user that was deleted since the choice. */
export async function revokeWhole(
  admin: Admin,
  { userId, clientId }: SessionFilter,
  options: EndOptions,
): Promise<FinishedWork> {
  const ended =
    userId !== undefined
      ? await endSessionsOfUser(admin, userId, { reason: 'command' }, options)
      : clientId !== undefined
        ? await endSessionsOfClient(admin, clientId, 'command', options)
        : await endAllSessions(admin, 'command', options)
  if (ended) return ended
  throw new Refusal('conflict', 'the user has just been deleted, which has ended all sessions')
}

type Totals = Omit<SessionCounts, 'client_id'>

export interface SessionSummary {
  readonly all: Totals
  readonly clients: readonly SessionCounts[]
  readonly sweeper: SweeperTable
  /** As it is printed as JSON. */
  readonly document: object
}

/** How many sessions there are of each client and in each state, and what the sweeper has done. */
export async function summarizeSessions(
  { db, clock }: Admin,
  onProgress: (counted: number) => void,
): Promise<SessionSummary> {
  const now = clock.now()
  const clients = await summarizeRows(db, { now, endedBy: now - keepSeconds }, onProgress)
  const sweeper = await readSweeper(db)
  const total = (state: keyof Totals) => clients.reduce((sum, counts) => sum + counts[state], 0)
  const all = {
    living: total('living'),
    expired: total('expired'),
    revoked: total('revoked'),
    waiting: total('waiting'),
  }
  const { passed_at, began_at, examined, swept, swept_ever } = sweeper
  const document = {
    sessions: all,
    clients,
    sweeper: { passed_at, began_at, examined, swept, swept_ever },
    ...(db.engine === 'sqlite' && { database: await countPages(db) }),
    counted_at: now,
  }
  return { all, clients, sweeper, document }
}
