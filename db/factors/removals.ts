import type { PasskeyTable } from '../schema.ts'
import type { Writer } from '../writer.ts'
import { forgetCodesWithoutFactor } from './recovery-codes.ts'

/** Which factors of a user go, beside the password. */
export interface FactorChoice {
  readonly totp: boolean
  /** All of them, none, or the one of this id. */
  readonly passkeys: 'all' | 'none' | Buffer
  readonly recoveryCodes: boolean
}

export interface RemovedFactors {
  readonly totp: boolean
  readonly passkeys: readonly Pick<PasskeyTable, 'id' | 'name'>[]
  readonly recoveryCodes: boolean
}

/**
 * Removes factors of a user, at once; undefined where there are none of them. Recovery codes go too with the
 * last factor that they stand in for.
 */
export async function removeFactors(
  { transact }: Writer,
  userId: Buffer,
  { totp, passkeys, recoveryCodes }: FactorChoice,
): Promise<RemovedFactors | undefined> {
  return transact(async transaction => {
    const totps = totp
      ? await transaction.deleteFrom('totps').where('user_id', '=', userId).returning('user_id').execute()
      : []
    const removed =
      passkeys === 'none'
        ? []
        : await transaction
            .deleteFrom('passkeys')
            .where('user_id', '=', userId)
            .$if(passkeys !== 'all', query => query.where('id', '=', passkeys as Buffer))
            .returning(['id', 'name'])
            .execute()
    const codes = recoveryCodes
      ? await transaction.deleteFrom('recovery_codes').where('user_id', '=', userId).returning('id').execute()
      : []
    if (totps.length + removed.length + codes.length === 0) return undefined
    await forgetCodesWithoutFactor(transaction, userId)
    return { totp: totps.length > 0, passkeys: removed, recoveryCodes: codes.length > 0 }
  })
}
