import type { ClientTable, OwnClaimTable, ResourceTable } from '../../db/schema.ts'
import { ownClaimOf, wishProblems } from '../clients/wishes.ts'
import { ownClaimProblems, type OwnClaim } from '../protocol/own-claims.ts'
import type { Changes } from '../record/events.ts'
import { itemsOf } from '../values/list.ts'
import type { Admin } from './admin.ts'
import type { Declaration } from './declaration.ts'
import { differencesOf } from './differences.ts'
import { listOwnClaims } from './own-claims.ts'

/** A claim as declared, and as it is. */
export interface PlannedClaim {
  readonly name: string
  readonly declared: OwnClaim
  readonly found: OwnClaimTable | undefined
  readonly differences: Changes
}

/** What is there, by its URI or its id. */
export interface Wanting {
  readonly resources: ReadonlyMap<string, ResourceTable>
  readonly clients: ReadonlyMap<string, ClientTable>
}

/**
 * Plans what changes of the claims of the installation's own. Of what wants them, and is not declared itself,
 * none may get too much by it.
 */
export async function planClaims(
  admin: Pick<Admin, 'db'>,
  { claims: declared, ...declaration }: Pick<Declaration, 'claims' | 'resources' | 'clients'>,
  { resources, clients }: Wanting,
): Promise<{
  readonly claims: readonly PlannedClaim[]
  readonly problems: readonly string[]
  /** All claims, as they are then. */
  readonly after: ReadonlyMap<string, OwnClaim>
}> {
  const found = new Map((await listOwnClaims(admin)).map(row => [row.name, row]))
  const after = new Map([...found].map(([name, row]) => [name, ownClaimOf(row)]))
  const problems: string[] = []
  const claims = declared.map(claim => {
    const { name } = claim
    const before = found.get(name)
    problems.push(...[...ownClaimProblems(claim)].map(problem => `${name}: ${problem}`))
    after.set(name, claim)
    return {
      name,
      declared: claim,
      found: before,
      differences: differencesOf(before && ownClaimOf(before), claim),
    }
  })
  const isDeclared = new Set([
    ...declaration.resources.map(({ uri }) => uri),
    ...declaration.clients.map(({ client_id }) => client_id),
  ])
  for (const [name, { claims: wanted }] of [...resources, ...clients]) {
    if (claims.length === 0 || isDeclared.has(name)) continue
    problems.push(...[...wishProblems(itemsOf(wanted ?? ''), after)].map(problem => `${name}: ${problem}`))
  }
  return { claims, problems, after }
}
