import type { Kysely } from 'kysely'
import { keptStatement } from '../kept-query.ts'
import type { SessionTable, Tables } from '../schema.ts'
import { step, type Steps } from '../steps.ts'
import { lookedAtMore, unusedForLongest } from '../unused.ts'

/**
 * So many are ended with one log-in; where there were more before there was a bound, the rest with the next
 * ones.
 */
const endedMax = 100

/** The session that a log-in has started. */
type StartedSession = Pick<SessionTable, 'id' | 'client_id' | 'user_epoch' | 'client_epoch'> & {
  readonly user_id: Buffer
  readonly started_at: number
}

/** A row where the user has more living sessions than the bound, through any clients: the index tells. */
const oneBeyond = keptStatement(
  (sql, { user_id, sessionsMax }: { readonly user_id: Buffer; readonly sessionsMax: number }) =>
    sql
      .selectFrom('sessions')
      .select('id')
      .where('user_id', '=', user_id)
      .where('revoked_at', 'is', null)
      .limit(1)
      .offset(sessionsMax),
)

/**
 * Living sessions of the user through this client beyond the bound, those that were unused for longest: part
 * of the transaction that starts one more.
 */
export function* surplusSessions(
  sql: Kysely<Tables>,
  { id, user_id, client_id, user_epoch, client_epoch, started_at: now }: StartedSession,
  sessionsMax: number,
): Steps<readonly Buffer[]> {
  const beyond = yield* oneBeyond(sql, { user_id, sessionsMax })
  if (beyond.rows.length === 0) return []
  const living = sql
    .selectFrom('sessions')
    .select(['id', 'rotated_at as used_at', 'expires_at'])
    .where('user_id', '=', user_id)
    .where('revoked_at', 'is', null)
    .where('client_id', '=', client_id)
    .where('user_epoch', '=', user_epoch)
    .where('client_epoch', '=', client_epoch)
    .orderBy('id', 'desc')
    .limit(sessionsMax + lookedAtMore)
  const { rows } = yield* step(living.compile())
  return unusedForLongest(rows, { id, now, max: sessionsMax, endedMax })
}
