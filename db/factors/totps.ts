import type { Kysely } from 'kysely'
import type { Database } from '../database.ts'
import type { Tables, TotpTable, UserTable } from '../schema.ts'
import { lockUser } from '../users/epochs.ts'
import type { Writer } from '../writer.ts'
import { forgetCodesWithoutFactor } from './recovery-codes.ts'

/** The authenticator app of a user; undefined for none. */
export async function findTotp({ sql }: Database, userId: Buffer): Promise<TotpTable | undefined> {
  return sql.selectFrom('totps').selectAll().where('user_id', '=', userId).executeTakeFirst()
}

/**
 * Adds the authenticator app of a user who has none, if the epoch is still the one that was read; false when
 * it was not added.
 */
export async function insertTotp(
  { engine, transact }: Writer,
  totp: TotpTable,
  user: Pick<UserTable, 'id' | 'epoch'>,
): Promise<boolean> {
  return transact(async transaction => {
    if (!(await lockUser(transaction, user, engine))) return false
    await forgetCodesWithoutFactor(transaction, user.id)
    const { numInsertedOrUpdatedRows } = await transaction
      .insertInto('totps')
      .values(totp)
      .onConflict(conflict => conflict.column('user_id').doNothing())
      .executeTakeFirstOrThrow()
    return numInsertedOrUpdatedRows === 1n
  })
}

/** The step of a code that was accepted, and the secret as it is sealed from now on. */
export type SpentStep = Pick<TotpTable, 'last_step' | 'secret' | 'root_key_id' | 'used_at'>

/**
 * Takes the code of a step, which counts once, and those before it no more; false where it was taken already,
 * or the app is not the one that was seen.
 */
export async function spendStep(
  { sql }: Database,
  seen: Pick<TotpTable, 'user_id' | 'secret'>,
  spent: SpentStep,
): Promise<boolean> {
  const { numUpdatedRows } = await sql
    .updateTable('totps')
    .set(spent)
    .where('user_id', '=', seen.user_id)
    .where('secret', '=', seen.secret)
    .where('last_step', '<', spent.last_step)
    .executeTakeFirstOrThrow()
  return numUpdatedRows === 1n
}

/** In the transaction that deletes the user. */
export async function forgetFactorsOfUser(transaction: Kysely<Tables>, userId: Buffer): Promise<void> {
  for (const table of ['totps', 'recovery_codes', 'passkeys'] as const)
    await transaction.deleteFrom(table).where('user_id', '=', userId).execute()
}
