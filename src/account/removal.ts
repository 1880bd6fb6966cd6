import { floorOf } from '../authorization/look.ts'
import { accountClient } from '../clients/account-client.ts'
import type { Context } from '../context.ts'
import { reachableLevels, type Factors } from '../factors/factors.ts'
import type { Level } from '../protocol/levels.ts'
import type { Owner } from './owner.ts'

/** The level that the installation demands of an owner at every client. */
export function demandedOf({ config }: Pick<Context, 'config'>, { user }: Pick<Owner, 'user'>): Level {
  return floorOf(config, accountClient(config), user)
}

/** Why a factor stays: without it its owner could not log in, or not as this installation demands it. */
export type RemovalProblem = 'last_way_in' | 'factor_demanded'

/**
 * Whether a user who has these factors may remove one, after which it has `left`. Pure: all of the rule is
 * here. Who does not reach the level that is demanded anyway is led to set one up at the next log-in.
 */
export function judgeRemoval(factors: Factors, left: Factors, demanded: Level): RemovalProblem | undefined {
  const [before, after] = [reachableLevels(factors), reachableLevels(left)]
  if (!after.includes('pwd')) return 'last_way_in'
  return before.includes(demanded) && !after.includes(demanded) ? 'factor_demanded' : undefined
}

export function withoutPasskey(factors: Factors, id: Buffer): Factors {
  return { ...factors, passkeys: factors.passkeys.filter(passkey => !passkey.id.equals(id)) }
}

export function withoutTotp(factors: Factors): Factors {
  return { ...factors, totp: undefined }
}
