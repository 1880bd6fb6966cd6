import type { Kysely } from 'kysely'
import { keptStatement } from '../kept-query.ts'
import type { SignInTable, Tables } from '../schema.ts'
import type { Steps } from '../steps.ts'
import { lookedAtMore, unusedForLongest } from '../unused.ts'

/** So many are ended with one log-in; where the bound was lowered, the rest with the next ones. */
const endedMax = 10

type Owner = Pick<SignInTable, 'user_id' | 'user_epoch' | 'sign_in_epoch'>

/** The newest of those that no epoch has ended. */
const newestSignIns = keptStatement(
  (sql, { user_id, user_epoch, sign_in_epoch, limit }: Owner & { readonly limit: number }) =>
    sql
      .selectFrom('sign_ins')
      .select(['id', 'used_at', 'expires_at'])
      .where('user_id', '=', user_id)
      .where('user_epoch', '=', user_epoch)
      .where('sign_in_epoch', '=', sign_in_epoch)
      .orderBy('id', 'desc')
      .limit(limit),
)

/**
 * Sign-ins of the user beyond the bound, those that were unused for longest: part of the transaction that
 * adds one more.
 */
export function* surplusSignIns(
  sql: Kysely<Tables>,
  { id, user_id, user_epoch, sign_in_epoch, created_at: now }: SignInTable,
  signInsMax: number,
): Steps<readonly Buffer[]> {
  const owner = { user_id, user_epoch, sign_in_epoch }
  const { rows } = yield* newestSignIns(sql, { ...owner, limit: signInsMax + lookedAtMore })
  return unusedForLongest(rows, { id, now, max: signInsMax, endedMax })
}
