import { listResources } from '../../db/clients/resources.ts'
import type { UsedAlg } from '../../db/keys/used-algs.ts'
import { phaseOf } from '../keys/ring/key-life.ts'
import { algsWanted } from '../keys/ring/key-policy.ts'
import type { Admin } from './admin.ts'
import { readPlannedRing } from './planned-ring.ts'

/** The tokens of a resource are to be signed with another algorithm, and are not yet. */
export interface AlgChange {
  readonly alg: string
  /** Signs until then. */
  readonly previousAlg: string
  /** When every verifier can know the keys of the new one, if a server runs; seconds since the epoch. */
  readonly at: number
}

/** The resources whose tokens are not signed with their algorithm yet, by their URIs. */
export async function pendingAlgs(
  admin: Pick<Admin, 'db' | 'clock' | 'installation'>,
): Promise<ReadonlyMap<string, AlgChange>> {
  const { rows, plan, policy } = await readPlannedRing(admin)
  const resources = await listResources(admin.db)
  return new Map(
    resources.flatMap(({ uri, alg, previous_alg: previousAlg }) => {
      if (previousAlg === null) return []
      const next = rows.find(row => row.alg === alg && phaseOf(row) === 'next')
      const at = (next && plan.get(next.kid)?.signsFrom) ?? admin.clock.now() + policy.leadSeconds
      return [[uri, { alg, previousAlg, at }] as const]
    }),
  )
}

/**
 * A sentence about an algorithm that joins the key set of all APIs; undefined for those that are there from
 * the start.
 */
export function newAlgWarning(alg: string, used: readonly UsedAlg[]): string | undefined {
  if (algsWanted(used).includes(alg)) return undefined
  const shared = `the key set is one for all APIs, and from now on it holds ${alg} keys`
  return alg === 'Ed25519'
    ? `${shared}: jsonwebtoken (Rust) before 10 cannot read it any more, for any API. EdDSA is the same signature ` +
        'under a name that it knows; docs/verifying.md says which verifiers know which'
    : `${shared}: the verifiers in docs/verifying.md use them or pass over them; try others first, since one that ` +
        'cannot read the key set refuses the tokens of every API'
}
