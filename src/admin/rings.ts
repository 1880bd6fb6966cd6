import { listResources } from '../../db/clients/resources.ts'
import { listSigningKeys } from '../../db/keys/signing-keys.ts'
import type { InstallationTable, ResourceTable, SigningKeyTable } from '../../db/schema.ts'
import type { Installation } from '../installation/open.ts'
import { phaseOf, planRing, type KeyPlan } from '../keys/ring/key-life.ts'
import { algsWanted, ringPolicyOf, type RingPolicy } from '../keys/ring/key-policy.ts'
import type { Admin } from './admin.ts'

/** The key rings as they are now, and what will become of each key. */
export interface Rings {
  readonly rows: readonly SigningKeyTable[]
  readonly record: InstallationTable
  readonly policy: RingPolicy
  readonly plan: ReadonlyMap<string, KeyPlan>
}

/** Reads the rings as they are now; `record` where the policy may have changed since the database was opened. */
export async function readRings(
  { db, record }: Pick<Installation, 'db' | 'record'>,
  now: number,
): Promise<Rings> {
  const policy = ringPolicyOf(record, algsWanted(await listResources(db)), now)
  const rows = await listSigningKeys(db)
  return { rows, record, policy, plan: planRing(rows, policy, now) }
}

export interface AlgChange {
  readonly alg: string
  /** The one that signs until then. */
  readonly previousAlg: string
  /** When every verifier can know the keys of the new one, if a server runs. */
  readonly at: number
}

/** The resources whose tokens are not signed with their algorithm yet, by their URIs. */
export async function pendingAlgs({
  db,
  installation,
  clock,
}: Pick<Admin, 'db' | 'installation' | 'clock'>): Promise<ReadonlyMap<string, AlgChange>> {
  const now = clock.now()
  const { rows, plan, policy } = await readRings({ db, record: installation }, now)
  const resources = await listResources(db)
  return new Map(
    resources.flatMap(({ uri, alg, previous_alg: previousAlg }) => {
      if (previousAlg === null) return []
      const next = rows.find(row => row.alg === alg && phaseOf(row) === 'next')
      const at = (next && plan.get(next.kid)?.signsFrom) ?? now + policy.leadSeconds
      return [[uri, { alg, previousAlg, at }] as const]
    }),
  )
}

/** A sentence about an algorithm that joins the key set of all APIs; undefined for those that are there from the start. */
export function newRingWarning(
  alg: string,
  resources: readonly Pick<ResourceTable, 'alg' | 'previous_alg'>[],
): string | undefined {
  if (algsWanted(resources).includes(alg)) return undefined
  const shared = `the key set is one for all APIs, and from now on it holds ${alg} keys`
  return alg === 'Ed25519'
    ? `${shared}: jsonwebtoken (Rust) before 10 cannot read it any more, for any API. EdDSA is the same signature ` +
        'under a name that it knows; docs/verifying.md says which verifiers know which'
    : `${shared}: the verifiers in docs/verifying.md use them or pass over them; try others first, since one that ` +
        'cannot read the key set refuses the tokens of every API'
}
