import { readInstallation } from '../../db/installation/installation.ts'
import { listSigningKeys } from '../../db/keys/signing-keys.ts'
import { listUsedAlgs } from '../../db/keys/used-algs.ts'
import type { InstallationTable, SigningKeyTable } from '../../db/schema.ts'
import { planRing, type KeyPlan } from '../keys/ring/key-life.ts'
import { algsWanted, ringPolicyOf, type RingPolicy } from '../keys/ring/key-policy.ts'
import type { Admin } from './admin.ts'

/** The key ring as the database has it, with what becomes of each key. */
export interface PlannedRing {
  readonly rows: readonly SigningKeyTable[]
  readonly installation: InstallationTable
  readonly policy: RingPolicy
  /** By the kid of the key. */
  readonly plan: ReadonlyMap<string, KeyPlan>
  /** When it was planned, in seconds since the epoch. */
  readonly now: number
}

export interface RingReader extends Pick<Admin, 'db'> {
  readonly clock: Pick<Admin['clock'], 'now'>
}

/** Reads the key ring as it is now, under the policy that holds, or would hold with a `changed` row. */
export async function readPlannedRing(
  { db, clock }: RingReader,
  changed?: InstallationTable,
): Promise<PlannedRing> {
  const now = clock.now()
  const installation = changed ?? (await readInstallation(db))
  const policy = ringPolicyOf(installation, algsWanted(await listUsedAlgs(db)), now)
  const rows = await listSigningKeys(db)
  return { rows, installation, policy, plan: planRing(rows, policy, now), now }
}
