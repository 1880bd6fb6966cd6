import type { Kysely } from 'kysely'
import type { SignInTable, Tables } from '../schema.ts'
import { lookedAtMore, unusedForLongest } from '../unused.ts'

/** So many are ended with one log-in; where the bound was lowered, the rest with the next ones. */
const endedMax = 10

/**
 * Sign-ins of the user beyond the bound, those that were unused for longest: part of the transaction that
 * adds one more.
 */
export async function surplusSignIns(
  transaction: Kysely<Tables>,
  { id, user_id, user_epoch, sign_in_epoch, created_at: now }: SignInTable,
  signInsMax: number,
): Promise<readonly Buffer[]> {
  const rows = await transaction
    .selectFrom('sign_ins')
    .select(['id', 'used_at', 'expires_at'])
    .where('user_id', '=', user_id)
    .where('user_epoch', '=', user_epoch)
    .where('sign_in_epoch', '=', sign_in_epoch)
    .orderBy('id', 'desc')
    .limit(signInsMax + lookedAtMore)
    .execute()
  return unusedForLongest(rows, { id, now, max: signInsMax, endedMax })
}
