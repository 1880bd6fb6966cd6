import type { InstallationTable, SigningKeyTable } from '../../db/database.ts'
import { listResources } from '../../db/resources.ts'
import { listSigningKeys } from '../../db/signing-keys.ts'
import type { Installation } from '../installation.ts'
import { phaseOf, planRing, type KeyPlan } from '../keys/key-life.ts'
import { algsWanted, ringPolicyOf, type RingPolicy } from '../keys/key-policy.ts'
import { formatTime } from './output.ts'

/** The key rings as a command sees them, with what will become of them. */
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
  /** What signs until then. */
  readonly previousAlg: string
  /** When every verifier can know the keys of the new one, if a server runs. */
  readonly at: number
}

/** The resources whose tokens are not signed with their algorithm yet, by their URIs. */
export async function pendingAlgs(
  installation: Pick<Installation, 'db' | 'record'>,
  now: number,
): Promise<ReadonlyMap<string, AlgChange>> {
  const { rows, plan, policy } = await readRings(installation, now)
  const resources = await listResources(installation.db)
  return new Map(
    resources.flatMap(({ uri, alg, previous_alg: previousAlg }) => {
      if (previousAlg === null) return []
      const next = rows.find(row => row.alg === alg && phaseOf(row) === 'next')
      const at = (next && plan.get(next.kid)?.signsFrom) ?? now + policy.leadSeconds
      return [[uri, { alg, previousAlg, at }] as const]
    }),
  )
}

/** Says when the new algorithm signs, for people. */
export function wordsForAlg({ alg, previousAlg, at }: AlgChange): string {
  return `Its tokens are signed with ${previousAlg} until ${formatTime(at)}, when every verifier can know the ${alg} key, if a server runs.`
}
