import type { GroupTable } from '../../db/schema.ts'
import { listGroups } from '../../db/users/groups.ts'
import { rolesColumn, rolesFor, type KnownGroups } from '../protocol/roles.ts'
import type { Changes } from '../record/events.ts'
import type { Admin } from './admin.ts'
import { refuseUnlessUnlimited } from './administrators.ts'
import { differencesOf } from './differences.ts'
import { groupMetadata } from './groups.ts'
import { roleProblems, type GroupMetadata } from './roles.ts'

/** A group as declared, and as it is. */
export interface PlannedGroup {
  readonly name: string
  readonly declared: GroupMetadata
  readonly found: GroupTable | undefined
  readonly differences: Changes
}

/** Plans what changes of groups. `resources` are the URIs of those that there will be. */
export async function planGroups(
  admin: Admin,
  declared: readonly GroupMetadata[],
  resources: ReadonlySet<string>,
): Promise<{
  readonly groups: readonly PlannedGroup[]
  readonly problems: readonly string[]
  /** All groups, as they are then. */
  readonly after: KnownGroups
}> {
  const found = new Map((await listGroups(admin.db)).map(row => [row.name, row]))
  const after = new Map<string, { readonly roles: string }>(found)
  const problems: string[] = []
  const groups = declared.map(group => {
    const { name, roles } = group
    const before = found.get(name)
    const differences = differencesOf(before && groupMetadata(before), group)
    problems.push(...[...roleProblems(roles, resources)].map(problem => `${name}: ${problem}`))
    after.set(name, { roles: rolesColumn(roles) })
    if (Object.keys(differences).length > 0)
      refuseUnlessUnlimited(admin, [...rolesFor(before?.roles ?? '', undefined), ...roles])
    return { name, declared: group, found: before, differences }
  })
  return { groups, problems, after }
}
