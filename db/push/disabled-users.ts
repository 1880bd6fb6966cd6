import type { Kysely } from 'kysely'
import type { DisabledUserTable, Tables } from '../schema.ts'
import { step, type Steps } from '../steps.ts'

/*
 * A user who is disabled has no sessions any more, and so no audience. Those that were told of it then are
 * told too when the user is enabled, or deleted.
 */

/** The audiences of a disabled user; undefined where the user was not disabled, or before they were kept. */
function* findDisabled(sql: Kysely<Tables>, userId: Buffer): Steps<string | undefined> {
  const { rows } = yield* step(
    sql.selectFrom('disabled_users').select('audiences').where('user_id', '=', userId).compile(),
  )
  return rows[0]?.audiences
}

/** Keeps the audiences with those of before. */
export function* keepDisabled(sql: Kysely<Tables>, { user_id, audiences }: DisabledUserTable): Steps<void> {
  const before = (yield* findDisabled(sql, user_id)) ?? ''
  const all = [...new Set(`${before} ${audiences}`.split(' '))].filter(one => one !== '').join(' ')
  const row = { user_id, audiences: all }
  yield* step(
    sql
      .insertInto('disabled_users')
      .values(row)
      .onConflict(conflict => conflict.column('user_id').doUpdateSet(row))
      .compile(),
  )
}

/** Forgets the audiences, and returns them. */
export function* takeDisabled(sql: Kysely<Tables>, userId: Buffer): Steps<string | undefined> {
  const audiences = yield* findDisabled(sql, userId)
  if (audiences !== undefined)
    yield* step(sql.deleteFrom('disabled_users').where('user_id', '=', userId).compile())
  return audiences
}
