import type { Kysely } from 'kysely'
import type { SignInTable, Tables } from '../schema.ts'
import type { End } from '../sessions/end-reasons.ts'
import { writeEnds } from '../sessions/revocations.ts'
import { step, type Steps } from '../steps.ts'
import type { Writer } from '../writer.ts'

/** What tells which other sign-ins the same user has in the same browser. */
export type SeenSignIn = Pick<SignInTable, 'id' | 'user_id' | 'user_epoch' | 'browser'>

/** A sign-in that has ended, and the sessions that have ended with it. */
export interface EndedSignIn {
  readonly id: Buffer
  readonly userId: Buffer
  readonly sessions: readonly EndedSessionRow[]
}

export interface EndedSessionRow {
  readonly id: Buffer
  readonly clientId: string
}

/**
 * Ends sign-ins and all sessions that end with them, in one transaction. Returns those that had not ended
 * before; undefined for none. Durable when it returns.
 */
export async function endSignIns(
  { transactAtOnce }: Writer,
  ids: readonly Buffer[],
  end: End,
): Promise<readonly EndedSignIn[] | undefined> {
  return transactAtOnce(function* (sql) {
    const ended = yield* removeSignIns(sql, ids, end)
    return ended.length > 0 ? ended : undefined
  })
}

/** Does the same with one as it was seen, and with all others that its user has in the same browser. */
export async function endSignInsOfBrowser(
  { transactAtOnce }: Writer,
  seen: SeenSignIn,
  end: End,
): Promise<readonly EndedSignIn[] | undefined> {
  return transactAtOnce(function* (sql) {
    const ended = yield* removeSignInsOfBrowser(sql, seen, end)
    return ended.length > 0 ? ended : undefined
  })
}

/**
 * Part of a transaction. Tabs in which the same user logs in at once make a sign-in each, and the browser
 * keeps the cookie of one.
 */
export function* removeSignInsOfBrowser(
  sql: Kysely<Tables>,
  { id, user_id, user_epoch, browser }: SeenSignIn,
  end: End,
): Steps<readonly EndedSignIn[]> {
  const living = sql
    .selectFrom('sign_ins')
    .select('id')
    .where('user_id', '=', user_id)
    .where('user_epoch', '=', user_epoch)
    .where(({ or, eb }) =>
      or([eb('id', '=', id), eb('browser', '=', browser).and('expires_at', '>', end.now)]),
    )
    // Always in the same order: two transactions at once do not wait for each other.
    .orderBy('id')
  const { rows } = yield* step(living.compile())
  const ids = rows.map(row => row.id)
  return yield* removeSignIns(sql, ids, end)
}

/** Part of a transaction. */
export function* removeSignIns(
  sql: Kysely<Tables>,
  ids: readonly Buffer[],
  end: End,
): Steps<readonly EndedSignIn[]> {
  const ended: EndedSignIn[] = []
  for (const id of ids) {
    const removed = yield* removeSignIn(sql, id, end)
    if (removed) ended.push(removed)
  }
  return ended
}

/** The row goes first: on PostgreSQL that waits for sessions that start, and none starts after it. */
function* removeSignIn(sql: Kysely<Tables>, id: Buffer, end: End): Steps<EndedSignIn | undefined> {
  const row = sql.deleteFrom('sign_ins').where('id', '=', id).returning('user_id')
  const [removed] = (yield* step(row.compile())).rows
  if (!removed) return undefined
  const sessions = sql
    .selectFrom('sign_in_sessions')
    .innerJoin('sessions', 'sessions.id', 'sign_in_sessions.session_id')
    .select(['sessions.id', 'sessions.client_id'])
    .where('sign_in_sessions.sign_in_id', '=', id)
    .where('sessions.revoked_at', 'is', null)
  const { rows: living } = yield* step(sessions.compile())
  const ids = living.map(session => session.id)
  const ended = yield* writeEnds(sql, ids, end)
  yield* step(sql.deleteFrom('sign_in_sessions').where('sign_in_id', '=', id).compile())
  return { id, userId: removed.user_id, sessions: withClients(living, ended) }
}

/** The clients of those sessions that have ended. */
export function withClients(
  sessions: readonly { readonly id: Buffer; readonly client_id: string }[],
  ended: readonly Buffer[],
): readonly EndedSessionRow[] {
  const ids = new Set(ended.map(id => id.toString('hex')))
  return sessions
    .filter(({ id }) => ids.has(id.toString('hex')))
    .map(({ id, client_id: clientId }) => ({ id, clientId }))
}
