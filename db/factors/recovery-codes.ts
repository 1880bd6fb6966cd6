import type { Kysely } from 'kysely'
import type { Database } from '../database.ts'
import type { RecoveryCodeTable, Tables, UserTable } from '../schema.ts'
import { lockUser } from '../users/epochs.ts'
import type { Writer } from '../writer.ts'

/** Those of a user that have not been used. */
export async function listRecoveryCodes({ sql }: Database, userId: Buffer): Promise<RecoveryCodeTable[]> {
  return sql
    .selectFrom('recovery_codes')
    .selectAll()
    .where('user_id', '=', userId)
    .where('used_at', 'is', null)
    .execute()
}

/**
 * Puts new ones in place of all of a user's, if the epoch is still the one that was read; with
 * `unlessPresent` only where none is left. The user is locked: of two who replace them at once, the second
 * one sees those of the first one.
 */
export async function replaceRecoveryCodes(
  { engine, transact }: Writer,
  codes: readonly RecoveryCodeTable[],
  user: Pick<UserTable, 'id' | 'epoch'>,
  { unlessPresent = false }: { readonly unlessPresent?: boolean } = {},
): Promise<'replaced' | 'present' | 'epoch_raised'> {
  let outcome: 'present' | 'epoch_raised' = 'epoch_raised'
  const isReplaced = await transact(async transaction => {
    if (!(await lockUser(transaction, user, engine))) return false
    if (unlessPresent && (await hasRecoveryCodes(transaction, user.id))) {
      outcome = 'present'
      return false
    }
    await transaction.deleteFrom('recovery_codes').where('user_id', '=', user.id).execute()
    await transaction.insertInto('recovery_codes').values(codes).execute()
    return true
  })
  return isReplaced ? 'replaced' : outcome
}

async function hasRecoveryCodes(transaction: Kysely<Tables>, userId: Buffer): Promise<boolean> {
  const one = await transaction
    .selectFrom('recovery_codes')
    .select('id')
    .where('user_id', '=', userId)
    .where('used_at', 'is', null)
    .executeTakeFirst()
  return one !== undefined
}

/** Takes a code, which counts once; false where it was taken or replaced since it was read. */
export async function spendRecoveryCode({ transact }: Writer, id: Buffer, now: number): Promise<boolean> {
  return transact(async transaction => {
    const { numUpdatedRows } = await transaction
      .updateTable('recovery_codes')
      .set({ used_at: now })
      .where('id', '=', id)
      .where('used_at', 'is', null)
      .executeTakeFirstOrThrow()
    return numUpdatedRows === 1n
  })
}

/**
 * Forgets the codes of a user who has no second factor, for which they would stand in: in the transaction
 * that removes one, and in that which adds one, so that the first one finds none of before.
 */
export async function forgetCodesWithoutFactor(transaction: Kysely<Tables>, userId: Buffer): Promise<void> {
  await transaction
    .deleteFrom('recovery_codes')
    .where('user_id', '=', userId)
    .where(({ not, exists, selectFrom }) =>
      not(exists(selectFrom('totps').select('user_id').where('user_id', '=', userId))),
    )
    .where(({ not, exists, selectFrom }) =>
      not(exists(selectFrom('passkeys').select('user_id').where('user_id', '=', userId))),
    )
    .execute()
}
