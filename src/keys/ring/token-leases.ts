import { promiseTokens } from '../../../db/keys/token-promises.ts'
import type { KeyRingOptions } from './ring.ts'

/**
 * What this server may sign without asking the database: so many tokens of a key, which expire by a certain
 * time. Before a token is handed out, the database knows that its key must stay published for it, and how
 * many there may be of them; and a server that has lost the database, and does not hear that a key was
 * revoked, cannot use it for long.
 */
export interface TokenLeases {
  /** Takes one token from a key's lease; false when there is none that covers it. */
  take(kid: string, expiresAt: number): boolean
  /** Gets a lease that covers a token; false when the key does not sign any more. */
  renew(kid: string, expiresAt: number): Promise<boolean>
  /** Renews the leases that are in use and will soon be used up, so that no request waits for it. */
  renewUsed(): Promise<void>
}

interface Lease {
  readonly expiresAt: number
  /** The same by the steady clock, so that a clock that is set back does not make it last longer. */
  readonly endsAt: number
  readonly tokens: number
  left: number
  /** The longest life of a token that was taken, in seconds. */
  longest: number
}

/** Promises end on the minute: so those of many servers are few rows. */
const roundSeconds = 60
/** How much longer than the token in hand a lease is good for, at least. */
const spareSeconds = 60
const tokensMin = 16

export function openLeases({ db, clock }: KeyRingOptions): TokenLeases {
  const leases = new Map<string, Lease>()
  const renewing = new Map<string, Promise<boolean>>()

  const renew = async (kid: string, expiresAt: number): Promise<boolean> => {
    const before = leases.get(kid)
    const [madeAt, madeAtSteady] = [clock.now(), clock.steady()]
    const longest = Math.max(expiresAt - madeAt, before?.longest ?? 0)
    const promise = {
      kid,
      now: madeAt,
      expiresAt: Math.ceil((madeAt + longest + spareSeconds) / roundSeconds) * roundSeconds,
      // So many that the next renewal is for their time, not for their number.
      tokens: Math.max(tokensMin, before ? 2 * (before.tokens - before.left) : 0),
    }
    if (!(await promiseTokens(db, promise))) {
      leases.delete(kid)
      return false
    }
    const { expiresAt: end, tokens } = promise
    const endsAt = madeAtSteady + end - madeAt
    leases.set(kid, { expiresAt: end, endsAt, tokens, left: tokens, longest: 0 })
    return true
  }
  /** Those who wait for the same key wait for the same renewal. */
  const shareRenewal = (kid: string, expiresAt: number): Promise<boolean> => {
    let running = renewing.get(kid)
    if (!running) {
      running = renew(kid, expiresAt).finally(() => renewing.delete(kid))
      renewing.set(kid, running)
    }
    return running
  }

  return {
    take: (kid, expiresAt) => {
      const lease = leases.get(kid)
      if (!lease || lease.left === 0) return false
      const life = expiresAt - clock.now()
      if (expiresAt > lease.expiresAt || clock.steady() + life > lease.endsAt) return false
      lease.left--
      if (life > lease.longest) lease.longest = life
      return true
    },
    renew: shareRenewal,
    renewUsed: async () => {
      for (const [kid, { endsAt }] of leases) if (endsAt < clock.steady()) leases.delete(kid)
      const isDue = ({ longest, endsAt, left, tokens }: Lease) =>
        left < tokens && (endsAt - clock.steady() - longest < spareSeconds / 2 || left < tokens / 2)
      const due = [...leases].filter(([, lease]) => isDue(lease))
      await Promise.all(due.map(([kid, { longest }]) => shareRenewal(kid, clock.now() + longest)))
    },
  }
}
