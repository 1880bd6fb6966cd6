import type { PasskeyTable } from '../schema.ts'
import { lockUser } from '../users/epochs.ts'
import type { Writer } from '../writer.ts'
import { findFactorsIn, type FactorRows } from './factors.ts'
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

/**
 * Removes the authenticator app of a user, or the passkey of an id; undefined where there is no such factor,
 * and nothing is changed where `problemOf` finds one with what there is. Of two that are removed at once, the
 * second one is judged by what the first one has left.
 */
export async function removeFactorUnless<Problem extends string>(
  { engine, transact }: Writer,
  userId: Buffer,
  which: 'totp' | Buffer,
  problemOf: (present: FactorRows) => Problem | undefined,
): Promise<Problem | RemovedFactor | undefined> {
  let problem: Problem | undefined
  const removed = await transact(async transaction => {
    await lockUser(transaction, { id: userId }, engine)
    const present = await findFactorsIn(transaction, userId)
    const isTotp = which === 'totp'
    const passkey = isTotp ? undefined : present?.passkeys.find(({ id }) => id.equals(which))
    if (!present || (isTotp ? present.totp === undefined : passkey === undefined)) return undefined
    problem = problemOf(present)
    if (problem !== undefined) return undefined
    await (isTotp
      ? transaction.deleteFrom('totps').where('user_id', '=', userId).execute()
      : transaction.deleteFrom('passkeys').where('id', '=', which).execute())
    await forgetCodesWithoutFactor(transaction, userId)
    return { passkey }
  })
  return removed ?? problem
}

export interface RemovedFactor {
  /** Undefined for an authenticator app. */
  readonly passkey: PasskeyTable | undefined
}
