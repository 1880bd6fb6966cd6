import { requestRotation } from '../../db/keys/signing-keys.ts'
import { countPromised } from '../../db/keys/token-promises.ts'
import { Refusal } from '../errors.ts'
import { phaseOf } from '../keys/ring/key-life.ts'
import type { KeyPhase } from '../protocol/key-phase.ts'
import { record } from '../record/record.ts'
import type { Admin } from './admin.ts'
import { readPlannedRing, type PlannedRing } from './planned-ring.ts'

/** A signing key, as `--json` shows it. Times are seconds since the epoch; future ones are plans. */
export interface KeyDocument {
  readonly kid: string
  readonly alg: string
  readonly state: KeyPhase | null
  readonly published_at: number
  readonly signs_from: number | null
  readonly retires_at: number | null
  readonly gone_at: number | null
  readonly verify_until: number
  readonly revoked_at: number | null
  readonly revoke_reason: string | null
  readonly live_tokens_at_most: number
}

export function describeKeys(
  { rows, plan }: Pick<PlannedRing, 'rows' | 'plan'>,
  tokens: ReadonlyMap<string, number>,
): readonly KeyDocument[] {
  return rows.map(row => {
    const { phase = null, signsFrom = null, retiresAt = null, goneAt = null } = plan.get(row.kid) ?? {}
    return {
      kid: row.kid,
      alg: row.alg,
      state: phase,
      published_at: row.published_at,
      signs_from: signsFrom,
      retires_at: retiresAt,
      gone_at: goneAt,
      verify_until: row.verify_until,
      revoked_at: row.revoked_at,
      revoke_reason: row.revoke_reason,
      live_tokens_at_most: tokens.get(row.kid) ?? 0,
    }
  })
}

/** The signing keys, the oldest first. */
export async function listKeys(admin: Admin): Promise<readonly KeyDocument[]> {
  const ring = await readPlannedRing(admin)
  return describeKeys(ring, await countPromised(admin.db, admin.clock.now()))
}

/** A rotation that was asked for, as `--json` shows it. */
export interface RotationDocument {
  readonly alg: string
  readonly from: string
  readonly to: string | null
  /** In seconds since the epoch, if a server runs until then. */
  readonly effective_at: number
}

/** Lets the next key of an algorithm, or of each, sign as soon as every verifier can know it. */
export async function rotateKeys(admin: Admin, alg?: string): Promise<readonly RotationDocument[]> {
  const { clock } = admin
  const { rows } = await readPlannedRing(admin)
  const active = rows.filter(row => phaseOf(row) === 'active' && (alg === undefined || row.alg === alg))
  if (active.length === 0) throw noActiveKey(alg)
  for (const row of active) {
    const detail = { kid: row.kid, alg: row.alg }
    await record(admin, { event: 'key_rotation_requested', detail }, writer =>
      requestRotation(writer, row.kid, clock.now()),
    )
  }
  const after = await readPlannedRing(admin)
  return active.map(row => {
    const next = after.rows.find(other => other.alg === row.alg && phaseOf(other) === 'next')
    const effectiveAt = after.plan.get(row.kid)?.retiresAt ?? clock.now()
    return { alg: row.alg, from: row.kid, to: next?.kid ?? null, effective_at: effectiveAt }
  })
}

function noActiveKey(alg: string | undefined): Refusal {
  return alg === undefined
    ? new Refusal('conflict', 'there is no signing key to rotate', '`mintmark serve` makes the first ones')
    : new Refusal('conflict', `there is no key that signs ${alg}`, '`mintmark key list` shows the keys')
}
