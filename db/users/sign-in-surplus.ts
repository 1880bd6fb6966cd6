import type { Kysely } from 'kysely'
import type { SignInTable, Tables } from '../schema.ts'

/**
 * So many beyond the bound are looked at, the newest first: expired ones are among them until the sweeper
 * comes by.
 */
const lookedAtMore = 1000

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
  const living = rows.filter(row => row.expires_at > now)
  const surplus = living.length - signInsMax
  if (surplus <= 0) return []
  return living
    .filter(row => !row.id.equals(id))
    .sort((a, b) => a.used_at - b.used_at || a.id.compare(b.id))
    .slice(0, Math.min(surplus, endedMax))
    .map(row => row.id)
}
