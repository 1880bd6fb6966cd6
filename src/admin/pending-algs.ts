import { listClients } from '../../db/clients/clients.ts'
import { listResources } from '../../db/clients/resources.ts'
import type { Database } from '../../db/database.ts'
import { listUsedAlgs, type UsedAlg } from '../../db/keys/used-algs.ts'
import type { ClientTable } from '../../db/schema.ts'
import { usualAlg } from '../clients/fapi.ts'
import type { ClientMetadata } from '../clients/properties.ts'
import { phaseOf } from '../keys/ring/key-life.ts'
import { algsWanted } from '../keys/ring/key-policy.ts'
import { readPlannedRing, type PlannedRing, type RingReader } from './planned-ring.ts'

/** Something is to be signed with another algorithm, and is not yet. */
export interface AlgChange {
  readonly what: 'tokens' | 'ID tokens' | 'answers of /userinfo'
  readonly alg: string
  /** Signs until then. */
  readonly previousAlg: string
  /** When every verifier can know the keys of the new one, if a server runs; seconds since the epoch. */
  readonly at: number
}

/** The resources whose tokens are not signed with their algorithm yet, by their URIs. */
export async function pendingAlgs(admin: RingReader): Promise<ReadonlyMap<string, AlgChange>> {
  const ring = await readPlannedRing(admin)
  const resources = await listResources(admin.db)
  return new Map(
    resources.flatMap(({ uri, alg, previous_alg: previousAlg }) => {
      if (previousAlg === null) return []
      return [[uri, { what: 'tokens', alg, previousAlg, at: signsFrom(ring, alg) }] as const]
    }),
  )
}

/** The clients for which their algorithm does not sign yet, by their ids; among all, unless told. */
export async function pendingClientAlgs(
  admin: RingReader,
  among?: readonly Pick<ClientTable, 'id' | 'id_token_alg' | 'userinfo_alg' | 'profile'>[],
): Promise<ReadonlyMap<string, AlgChange>> {
  const ring = await readPlannedRing(admin)
  const signs = (alg: string) => ring.rows.some(row => row.alg === alg && phaseOf(row) === 'active')
  const changes = new Map<string, AlgChange>()
  // The first keys sign at once.
  if (ring.rows.length === 0) return changes
  for (const client of among ?? (await listClients(admin.db))) {
    const { id, id_token_alg: ofIdTokens, userinfo_alg: ofUserinfo } = client
    const about = (what: AlgChange['what'], alg: string) =>
      changes.set(id, { what, alg, previousAlg: usualAlg(client), at: signsFrom(ring, alg) })
    if (!signs(ofIdTokens)) about('ID tokens', ofIdTokens)
    else if (ofUserinfo !== null && !signs(ofUserinfo)) about('answers of /userinfo', ofUserinfo)
  }
  return changes
}

function signsFrom({ rows, plan, policy, now }: PlannedRing, alg: string): number {
  const next = rows.find(row => row.alg === alg && phaseOf(row) === 'next')
  return (next && plan.get(next.kid)?.signsFrom) ?? now + policy.leadSeconds
}

/** The algorithms that a client has chosen. */
export function algsOf({
  id_token_signed_response_alg: ofIdTokens,
  userinfo_signed_response_alg: ofUserinfo,
}: ClientMetadata): readonly string[] {
  return [...new Set([ofIdTokens, ofUserinfo ?? ofIdTokens])]
}

/** Sentences about the algorithms of a client that the key set does not hold yet. */
export async function aboutNewAlgs(db: Database, client: ClientMetadata): Promise<readonly string[]> {
  const used = await listUsedAlgs(db)
  return algsOf(client)
    .map(alg => newAlgWarning(alg, used))
    .filter(warning => warning !== undefined)
}

/** A change of algorithms, as documents show it: nothing where there is none. */
export function describeAlgChange(algChange: AlgChange | undefined) {
  return algChange && { signs_with: algChange.previousAlg, alg_signs_from: algChange.at }
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
