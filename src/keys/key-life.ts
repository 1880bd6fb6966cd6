/** What the judge looks at of a signing key. Times are seconds since the epoch. */
export interface KeyState {
  readonly kid: string
  readonly alg: string
  readonly published_at: number
  readonly activated_at: number | null
  readonly retired_at: number | null
  readonly verify_until: number
  readonly revoked_at: number | null
  /** An administrator asked for a rotation, as soon as it can be. */
  readonly rotation_requested_at: number | null
}

export interface RingPolicy {
  /** How long a key signs. */
  readonly rotationSeconds: number
  /** How long a key must have been published before it signs. */
  readonly leadSeconds: number
  /** The algorithms that keys are wanted for. */
  readonly algs: readonly string[]
}

/** One step in the life of the ring. Whoever takes it first, by compare-and-swap, has taken it for all instances. */
export type RingStep =
  /** Publish a key, which does not sign yet. */
  | { readonly kind: 'mint'; readonly alg: string }
  /** Publish a key that signs at once: nobody can have cached the key set without it. */
  | { readonly kind: 'start'; readonly alg: string }
  /** The next key signs from now on, and the active one retires. */
  | { readonly kind: 'promote'; readonly alg: string; readonly from: string | undefined; readonly to: string }
  /** The key's last token has run out: it leaves the key set. */
  | { readonly kind: 'drop'; readonly kid: string }

export type KeyPhase = 'next' | 'active' | 'retiring' | 'revoked'

export function phaseOf(key: KeyState): KeyPhase {
  if (key.revoked_at !== null) return 'revoked'
  if (key.activated_at === null) return 'next'
  return key.retired_at === null ? 'active' : 'retiring'
}

/** What is due now. A pure function of ring, policy and time; of a clock that steps back it only ever waits longer. */
export function judgeRing(keys: readonly KeyState[], policy: RingPolicy, now: number): readonly RingStep[] {
  const isNew = keys.length === 0
  const minted = policy.algs.flatMap(alg => judgeAlgorithm(alg, keys, policy, now, isNew))
  const dropped = keys
    .filter(key => isGone(key, policy, now))
    .map(key => ({ kind: 'drop', kid: key.kid }) as const)
  return [...minted, ...dropped]
}

function judgeAlgorithm(
  alg: string,
  keys: readonly KeyState[],
  policy: RingPolicy,
  now: number,
  isNew: boolean,
): readonly RingStep[] {
  const ofPhase = (phase: KeyPhase) => keys.find(key => key.alg === alg && phaseOf(key) === phase)
  const active = ofPhase('active')
  const next = ofPhase('next')
  if (isNew) {
    return [
      { kind: 'start', alg },
      { kind: 'mint', alg },
    ]
  }
  if (!next) return [{ kind: 'mint', alg }]
  const isPublishedLongEnough = now >= next.published_at + policy.leadSeconds
  if (isPublishedLongEnough && (!active || now >= rotationDue(active, policy))) {
    return [{ kind: 'promote', alg, from: active?.kid, to: next.kid }]
  }
  return []
}

/** When the active key should be followed by the next one. */
export function rotationDue(active: KeyState, policy: Pick<RingPolicy, 'rotationSeconds'>): number {
  return active.rotation_requested_at ?? (active.activated_at ?? 0) + policy.rotationSeconds
}

function isGone(key: KeyState, policy: RingPolicy, now: number): boolean {
  const phase = phaseOf(key)
  // A key that never signed has nothing to verify.
  if (phase === 'next') return !policy.algs.includes(key.alg)
  return (phase === 'retiring' || phase === 'revoked') && now >= key.verify_until
}
