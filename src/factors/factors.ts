import { findFactors as findFactorRows, type FactorRows } from '../../db/factors/factors.ts'
import type { PasskeyTable, TotpTable } from '../../db/schema.ts'
import type { Context } from '../context.ts'
import type { Level } from '../protocol/levels.ts'

/** With what a user can prove who it is. */
export interface Factors {
  readonly hasPassword: boolean
  /** All of them, those of another RP ID too. */
  readonly passkeys: readonly PasskeyTable[]
  /** The RP ID of the passkeys that browsers give to the pages of this issuer. */
  readonly rpId: string
  /** The authenticator app (RFC 6238). */
  readonly totp: Pick<TotpTable, 'created_at' | 'used_at'> | undefined
  readonly recoveryCodesLeft: number
}

const none = { hasPassword: false, passkeys: [], totp: undefined, recoveryCodesLeft: 0 }

type FactorContext = Pick<Context, 'db' | 'config'>

/** The factors of a user, in one statement; none where there is no such user. */
export async function findFactors(ctx: FactorContext, userId: Buffer): Promise<Factors> {
  return factorsOf(ctx, await findFactorRows(ctx.db, userId))
}

/** The factors that the rows of a user say; none without any. */
export function factorsOf({ config }: Pick<Context, 'config'>, found: FactorRows | undefined): Factors {
  const rpId = config.passkeyRpId
  if (!found) return { ...none, rpId }
  const { passwordHash, ...rest } = found
  return { ...rest, rpId, hasPassword: passwordHash !== '' }
}

/** Those that can be asked for here: of a passkey of another RP ID no browser gives an answer. */
export function usablePasskeys({ passkeys, rpId }: Pick<Factors, 'passkeys' | 'rpId'>) {
  return passkeys.filter(passkey => passkey.rp_id === rpId)
}

/**
 * Whether the password alone does not let its owner in. Recovery codes stand in for what is lost. A passkey
 * of another RP ID counts: another address of the installation does not make a password enough that was not.
 */
export function hasSecondFactor({ passkeys, totp }: Pick<Factors, 'passkeys' | 'totp'>): boolean {
  return passkeys.length > 0 || totp !== undefined
}

/** The levels that the user can show with these. A passkey is two factors by itself. */
export function reachableLevels(factors: Factors): readonly Level[] {
  const { hasPassword } = factors
  const hasPasskey = usablePasskeys(factors).length > 0
  const reached: readonly (Level | false)[] = [
    (hasPassword || hasPasskey) && 'pwd',
    (hasPasskey || (hasPassword && hasSecondFactor(factors))) && 'mfa',
    hasPasskey && 'phr',
  ]
  return reached.filter(level => level !== false)
}
