/** How surely it is known who a user is (`acr`), the weakest first. Each has what those before it have. */
export const levels = ['pwd', 'mfa', 'phr'] as const

export type Level = (typeof levels)[number]

/** Those that a log-in can reach here, the weakest first: where there are no passkeys, none that is `phr`. */
export function attainableLevels(withPasskeys: boolean): readonly Level[] {
  return withPasskeys ? levels : levels.filter(level => level !== 'phr')
}

/** The stronger one. */
export function strongerOf(one: Level, other: Level): Level {
  return levels.indexOf(one) > levels.indexOf(other) ? one : other
}

/** The methods (RFC 8176) of both, separated by spaces. */
export function joinedAmr(one: string, other: string): string {
  return [...new Set([...one.split(' '), ...other.split(' ')])].join(' ')
}

/** A key that proves itself to this server's address alone (RFC 8176 §2). */
const phishingResistant = ['hwk', 'swk']

/**
 * The level that the methods of a log-in (RFC 8176) have reached: `phr` two factors, of which one cannot be
 * fished; `mfa` two factors; `pwd` one. Undefined for a machine, which has none.
 */
export function acrOf(amr: readonly string[]): Level | undefined {
  if (amr.length === 0) return undefined
  if (!amr.includes('mfa')) return 'pwd'
  return amr.some(method => phishingResistant.includes(method)) ? 'phr' : 'mfa'
}

/** All levels that a log-in has by its methods. */
export function levelsOf(amr: readonly string[]): readonly Level[] {
  const reached = acrOf(amr)
  return reached ? levels.slice(0, levels.indexOf(reached) + 1) : []
}
