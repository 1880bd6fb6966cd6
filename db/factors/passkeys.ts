import type { Transaction } from 'kysely'
import type { Database } from '../database.ts'
import { keptQuery, keptStatement } from '../kept-query.ts'
import type { PasskeyTable, Tables, UserTable } from '../schema.ts'
import { lockUser } from '../users/epochs.ts'
import type { Writer } from '../writer.ts'
import { forgetCodesWithoutFactor } from './recovery-codes.ts'

const passkeyByCredential = keptQuery((sql, credentialId: Buffer) =>
  sql.selectFrom('passkeys').selectAll().where('credential_id', '=', credentialId),
)

/** The passkey of this credential id, of any user. */
export async function findPasskey(db: Database, credentialId: Buffer): Promise<PasskeyTable | undefined> {
  const [passkey] = await passkeyByCredential(db, credentialId)
  return passkey
}

const passkeysByUser = keptQuery((sql, userId: Buffer) =>
  sql.selectFrom('passkeys').selectAll().where('user_id', '=', userId).orderBy('id'),
)

/** The passkeys of a user, in the order of their ids, which begin with the time. */
export async function listPasskeys(db: Database, userId: Buffer): Promise<readonly PasskeyTable[]> {
  return passkeysByUser(db, userId)
}

/**
 * Adds a passkey, if its user has still the epoch that was read before, and fewer than `passkeysMax`. Its id
 * was drawn with the challenge, so that one challenge makes one passkey at most.
 */
export async function insertPasskey(
  { engine, transact }: Writer,
  passkey: PasskeyTable,
  { user, passkeysMax }: { readonly user: Pick<UserTable, 'id' | 'epoch'>; readonly passkeysMax: number },
): Promise<'added' | 'used' | 'exists' | 'too_many' | 'epoch_raised'> {
  let outcome: 'used' | 'exists' | 'too_many' | 'epoch_raised' = 'epoch_raised'
  const added = await transact(async transaction => {
    if (!(await lockUser(transaction, user, engine))) {
      outcome = 'epoch_raised'
      return false
    }
    const present = await idsOf(transaction, user.id)
    if (present.length >= passkeysMax) {
      outcome = 'too_many'
      return false
    }
    await forgetCodesWithoutFactor(transaction, user.id)
    const { numInsertedOrUpdatedRows } = await transaction
      .insertInto('passkeys')
      .values(passkey)
      .onConflict(conflict => conflict.doNothing())
      .executeTakeFirstOrThrow()
    if (numInsertedOrUpdatedRows === 1n) return true
    outcome = present.some(id => id.equals(passkey.id)) ? 'used' : 'exists'
    return false
  })
  return added ? 'added' : outcome
}

/** What an answer of a passkey changes. */
export type PasskeyUse = Pick<PasskeyTable, 'spent' | 'counter' | 'used_at'>

/**
 * Notes an answer of a passkey, unless another one was noted since it was read: then it is false. Each of
 * them changes what is spent.
 */
export async function notePasskeyUse(
  { transactAtOnce }: Writer,
  { id, spent: seen }: Pick<PasskeyTable, 'id' | 'spent'>,
  use: PasskeyUse,
): Promise<boolean> {
  return transactAtOnce(function* (sql) {
    const { numAffectedRows } = yield* noteUse(sql, { id, seen, ...use })
    return numAffectedRows === 1n
  })
}

const noteUse = keptStatement(
  (sql, { id, seen, spent, counter, used_at }: PasskeyUse & { readonly id: Buffer; readonly seen: string }) =>
    sql
      .updateTable('passkeys')
      .set({ spent, counter, used_at })
      .where('id', '=', id)
      .where('spent', '=', seen),
)

/** Gives a passkey of the user another name; false where there is no such passkey. */
export async function renamePasskey(
  { transact }: Writer,
  { id, user_id }: Pick<PasskeyTable, 'id' | 'user_id'>,
  name: string,
): Promise<boolean> {
  return transact(async transaction => {
    const { numUpdatedRows } = await transaction
      .updateTable('passkeys')
      .set({ name })
      .where('id', '=', id)
      .where('user_id', '=', user_id)
      .executeTakeFirstOrThrow()
    return numUpdatedRows === 1n
  })
}

/** The users that have passkeys of each RP ID. */
export async function countUsersByRpId({
  sql,
}: Database): Promise<readonly { readonly rp_id: string; readonly users: number }[]> {
  const rows = await sql
    .selectFrom('passkeys')
    .select(({ fn }) => ['rp_id', fn.count<number>('user_id').distinct().as('users')])
    .groupBy('rp_id')
    .orderBy('rp_id')
    .execute()
  return rows.map(({ rp_id, users }) => ({ rp_id, users: Number(users) }))
}

async function idsOf(transaction: Transaction<Tables>, userId: Buffer): Promise<readonly Buffer[]> {
  const rows = await transaction.selectFrom('passkeys').select('id').where('user_id', '=', userId).execute()
  return rows.map(({ id }) => id)
}
