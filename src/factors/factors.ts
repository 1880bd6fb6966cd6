import { findFactors as findFactorRows } from '../../db/factors/factors.ts'
import type { PasskeyTable, TotpTable } from '../../db/schema.ts'
import type { Context } from '../context.ts'
import type { Level } from '../protocol/levels.ts'

/** With what a user can prove who it is. */
export interface Factors {
  readonly hasPassword: boolean
  readonly passkeys: readonly PasskeyTable[]
  /** The authenticator app (RFC 6238). */
  readonly totp: Pick<TotpTable, 'created_at' | 'used_at'> | undefined
  readonly recoveryCodesLeft: number
}

const none: Factors = { hasPassword: false, passkeys: [], totp: undefined, recoveryCodesLeft: 0 }

/** The factors of a user, in one statement; none where there is no such user. */
export async function findFactors({ db }: Pick<Context, 'db'>, userId: Buffer): Promise<Factors> {
  const found = await findFactorRows(db, userId)
  if (!found) return none
  const { passwordHash, ...rest } = found
  return { ...rest, hasPassword: passwordHash !== '' }
}

/** Whether the password alone does not let its owner in. Recovery codes stand in for what is lost. */
export function hasSecondFactor({ passkeys, totp }: Pick<Factors, 'passkeys' | 'totp'>): boolean {
  return passkeys.length > 0 || totp !== undefined
}

/** The levels that the user can show with these. A passkey is two factors by itself. */
export function reachableLevels({ hasPassword, passkeys, totp }: Factors): readonly Level[] {
  const hasPasskey = passkeys.length > 0
  const reached: readonly (Level | false)[] = [
    (hasPassword || hasPasskey) && 'pwd',
    (hasPasskey || (hasPassword && totp !== undefined)) && 'mfa',
    hasPasskey && 'phr',
  ]
  return reached.filter(level => level !== false)
}
