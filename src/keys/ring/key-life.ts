import type { SigningKeyTable } from '../../../db/schema.ts'
import type { KeyPhase } from '../../protocol/key-phase.ts'
import type { RingPolicy } from './key-policy.ts'

/** What the judge looks at of a signing key. */
export type KeyState = Pick<
  SigningKeyTable,
  | 'kid'
  | 'alg'
  | 'published_at'
  | 'activated_at'
  | 'retired_at'
  | 'verify_until'
  | 'verify_seconds'
  | 'witnessed_seconds'
  | 'revoked_at'
  | 'rotation_requested_at'
>

/**
 * One step in the life of the key ring. The first to take it, by compare-and-swap, takes it for all
 * instances.
 */
export type RingStep =
  /**
   * Publish the first keys of all, one that signs at once and one to follow: no verifier can have cached
   * anything.
   */
  | { readonly kind: 'start'; readonly algs: readonly string[] }
  /** Publish a key, which does not sign yet. */
  | { readonly kind: 'publish'; readonly alg: string }
  /** The next key signs from now on, the active one retires, and another next one is published. */
  | { readonly kind: 'promote'; readonly alg: string; readonly from: string | undefined; readonly to: string }
  /** The active key retires, and none follows: nothing uses its algorithm. */
  | { readonly kind: 'retire'; readonly alg: string; readonly kid: string }
  /** The key leaves: its last token has run out, or it never signed and never will. */
  | { readonly kind: 'drop'; readonly alg: string; readonly kid: string }

export function phaseOf(key: Pick<KeyState, 'activated_at' | 'retired_at' | 'revoked_at'>): KeyPhase {
  if (key.revoked_at !== null) return 'revoked'
  if (key.activated_at === null) return 'next'
  return key.retired_at === null ? 'active' : 'retiring'
}

/** No key is unsound. */
const none: ReadonlySet<string> = new Set()

/**
 * Judges which step is due now: a pure function of the key ring, its policy and time.
 *
 * All that a verifier's safety hangs on, the lead of a next key and the stay of a retired one, is measured by
 * `witnessed_seconds`, which a clock that is set forward does not move; and a clock that is set back only
 * makes every step wait longer. `unsound` are the kids of keys that cannot be used, since their rows were
 * damaged.
 */
export function judgeRing(
  keys: readonly KeyState[],
  policy: RingPolicy,
  now: number,
  unsound = none,
): readonly RingStep[] {
  if (keys.length === 0) return [{ kind: 'start', algs: policy.algs }]
  const ofPhase = (alg: string, phase: KeyPhase) =>
    keys.find(key => key.alg === alg && phaseOf(key) === phase)

  const wanted = policy.algs.flatMap((alg): readonly RingStep[] => {
    const active = ofPhase(alg, 'active')
    const next = ofPhase(alg, 'next')
    if (!next) return [{ kind: 'publish', alg }]
    if (unsound.has(next.kid)) return [{ kind: 'drop', alg, kid: next.kid }]
    const isDue = !active || unsound.has(active.kid) || now >= rotationDue(active, policy)
    return isDue && isRipe(next, policy) ? [{ kind: 'promote', alg, from: active?.kid, to: next.kid }] : []
  })
  const unwanted = keys
    .filter(({ alg }) => !policy.algs.includes(alg))
    .flatMap(({ alg, kid, ...times }): readonly RingStep[] => {
      const phase = phaseOf(times)
      if (phase === 'active') return [{ kind: 'retire', alg, kid }]
      return phase === 'next' ? [{ kind: 'drop', alg, kid }] : []
    })
  const leaving = keys
    .filter(key => isOver(key, now))
    .map(({ alg, kid }): RingStep => ({ kind: 'drop', alg, kid }))
  return [...wanted, ...unwanted, ...leaving]
}

/** When the active key should be followed by the next one. */
export function rotationDue(
  active: Pick<KeyState, 'activated_at' | 'rotation_requested_at'>,
  { rotationSeconds }: Pick<RingPolicy, 'rotationSeconds'>,
): number {
  return active.rotation_requested_at ?? (active.activated_at ?? 0) + rotationSeconds
}

/** Whether every verifier that keeps to the max-age has the key. */
function isRipe(next: KeyState, { leadSeconds }: RingPolicy): boolean {
  return next.witnessed_seconds >= leadSeconds
}

/**
 * Whether the last token that the key signed has run out, and the record of a revoked one is of no more use.
 */
function isOver(
  { verify_until, verify_seconds, witnessed_seconds, ...times }: KeyState,
  now: number,
): boolean {
  const phase = phaseOf(times)
  if (phase !== 'retiring' && phase !== 'revoked') return false
  return times.activated_at === null || (now >= verify_until && witnessed_seconds >= verify_seconds)
}

/** How long the key must be seen in its phase before it may go on; undefined where nothing hangs on that. */
export function waitOf(key: KeyState, { leadSeconds }: Pick<RingPolicy, 'leadSeconds'>): number | undefined {
  switch (phaseOf(key)) {
    case 'next':
      return leadSeconds
    case 'active':
      return undefined
    case 'retiring':
    case 'revoked':
      return key.verify_seconds
  }
}

/** The times of a key's life, as far as they have come or can be foreseen; seconds since the epoch. */
export interface KeyPlan {
  readonly phase: KeyPhase
  readonly signsFrom: number | null
  readonly retiresAt: number | null
  readonly goneAt: number | null
}

/** The future of each key, by its kid, if a server always runs and no administrator interferes. */
export function planRing(
  keys: readonly KeyState[],
  policy: RingPolicy,
  now: number,
): ReadonlyMap<string, KeyPlan> {
  const isWanted = (alg: string) => policy.algs.includes(alg)
  const promotionOf = (alg: string): number | null => {
    const next = keys.find(key => key.alg === alg && phaseOf(key) === 'next')
    const active = keys.find(key => key.alg === alg && phaseOf(key) === 'active')
    if (!next || !isWanted(alg)) return null
    const ripeAt = now + Math.max(0, policy.leadSeconds - next.witnessed_seconds)
    return active ? Math.max(ripeAt, rotationDue(active, policy)) : ripeAt
  }
  const planOf = (key: KeyState): KeyPlan => {
    const phase = phaseOf(key)
    const promotion = promotionOf(key.alg)
    const staysUntil = (retiredAt: number) => Math.max(key.verify_until, retiredAt + key.verify_seconds)
    switch (phase) {
      case 'next':
        return isWanted(key.alg)
          ? {
              phase,
              signsFrom: promotion,
              retiresAt: promotion && promotion + policy.rotationSeconds,
              goneAt: null,
            }
          : { phase, signsFrom: null, retiresAt: null, goneAt: now }
      case 'active': {
        const retiresAt = isWanted(key.alg) ? promotion : now
        return { phase, signsFrom: key.activated_at, retiresAt, goneAt: retiresAt && staysUntil(retiresAt) }
      }
      case 'retiring':
      case 'revoked':
        return {
          phase,
          signsFrom: key.activated_at,
          retiresAt: key.retired_at,
          goneAt: isOver(key, now)
            ? now
            : Math.max(key.verify_until, now + key.verify_seconds - key.witnessed_seconds),
        }
    }
  }
  return new Map(keys.map(key => [key.kid, planOf(key)]))
}
