import type { Kysely } from 'kysely'
import type { Database } from '../database.ts'
import { keptStatement } from '../kept-query.ts'
import type { PersonalAccessTokenTable, SessionTable, Tables } from '../schema.ts'
import { step, type Steps } from '../steps.ts'
import type { Writer } from '../writer.ts'
import { addSession, type NewSession } from './starts.ts'

/** A token that lives, as its owner sees it. */
export type PersonalToken = Pick<PersonalAccessTokenTable, 'name'> &
  Pick<
    SessionTable,
    'id' | 'user_id' | 'client_id' | 'scope' | 'resource' | 'amr' | 'started_at' | 'rotated_at' | 'expires_at'
  >

export interface NewPersonalToken {
  readonly session: NewSession & { readonly user_id: Buffer; readonly started_at: number }
  readonly name: string
  /** How many the user may have that live. */
  readonly tokensMax: number
}

/** Why a token was not added. `gone`: the user's or the client's epoch was raised since it was read. */
export type NotAdded = 'name_taken' | 'too_many' | 'gone'

/**
 * Adds a token, or says why not. Those that are made for one user at once wait for each other, so that no two
 * that live have one name.
 */
export async function insertPersonalToken(
  { engine, transactAtOnce }: Writer,
  { session, name, tokensMax }: NewPersonalToken,
): Promise<'added' | NotAdded> {
  const { id: session_id, user_id, started_at: now } = session
  let outcome: 'added' | NotAdded = 'added'
  // Nothing is told of a result that is false.
  const refused = (why: NotAdded) => {
    outcome = why
    return false
  }
  await transactAtOnce(function* (sql) {
    if (engine === 'postgres') yield* lockUser(sql, { user_id })
    const { rows } = yield* step(livingOf(sql, user_id, now).select('name').limit(tokensMax).compile())
    if (rows.some(row => row.name === name)) return refused('name_taken')
    if (rows.length >= tokensMax) return refused('too_many')
    if (!(yield* addSession(sql, session, engine))) return refused('gone')
    yield* addName(sql, { session_id, user_id, name })
    outcome = 'added'
    return true
  })
  return outcome
}

const lockUser = keptStatement((sql, { user_id }: { readonly user_id: Buffer }) =>
  sql.selectFrom('users').select('id').where('id', '=', user_id).forUpdate(),
)

const addName = keptStatement((sql, row: PersonalAccessTokenTable) =>
  sql.insertInto('personal_access_tokens').values(row),
)

function livingOf(sql: Kysely<Tables>, userId: Buffer, now: number) {
  return sql
    .selectFrom('personal_access_tokens')
    .innerJoin('sessions', 'sessions.id', 'personal_access_tokens.session_id')
    .innerJoin('users', join =>
      join.onRef('users.id', '=', 'sessions.user_id').onRef('users.epoch', '=', 'sessions.user_epoch'),
    )
    .innerJoin('clients', join =>
      join
        .onRef('clients.id', '=', 'sessions.client_id')
        .onRef('clients.epoch', '=', 'sessions.client_epoch'),
    )
    .where('personal_access_tokens.user_id', '=', userId)
    .where('revoked_at', 'is', null)
    .where('expires_at', '>', now)
}

/** The tokens of a user that live at the time `now`, the newest first; with an id, that one alone. */
export async function listPersonalTokens(
  { sql }: Database,
  userId: Buffer,
  { now, id }: { readonly now: number; readonly id?: Buffer | undefined },
): Promise<readonly PersonalToken[]> {
  return livingOf(sql, userId, now)
    .select(['sessions.id', 'sessions.user_id', 'client_id', 'name', 'sessions.scope', 'resource', 'amr'])
    .select(['started_at', 'rotated_at', 'expires_at'])
    .$if(id !== undefined, query => query.where('sessions.id', '=', id ?? Buffer.alloc(0)))
    .orderBy('sessions.id', 'desc')
    .execute()
}

/**
 * Notes that tokens were used, where no use is noted yet, or none after `before`; of how many that was so.
 */
export async function touchPersonalTokens(
  { transactAtOnce }: Writer,
  ids: readonly Buffer[],
  { now, before }: { readonly now: number; readonly before: number },
): Promise<number> {
  return transactAtOnce(function* (sql): Steps<number> {
    const touch = sql
      .updateTable('sessions')
      .set({ rotated_at: now })
      .where('id', 'in', ids)
      .where(({ or, eb }) =>
        or([eb('rotated_at', '<=', before), eb('rotated_at', '=', eb.ref('started_at'))]),
      )
      .where('revoked_at', 'is', null)
    const { numAffectedRows = 0n } = yield* step(touch.compile())
    return Number(numAffectedRows)
  })
}
