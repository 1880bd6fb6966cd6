import type { UserTable } from '../../db/schema.ts'
import { findUser, findUserById } from '../../db/users/users.ts'
import { rolesColumn, rolesOf, rolesWithGroups, type KnownGroups } from '../protocol/roles.ts'
import type { Changes } from '../record/events.ts'
import type { Admin } from './admin.ts'
import { refuseOwnEnd, refuseUnlessUnlimited, refuseUserUnlessUnlimited } from './administrators.ts'
import type { DeclaredUser } from './declaration.ts'
import { roleProblems } from './roles.ts'

/** A user as declared, and as it is. */
export interface PlannedUser {
  readonly name: string
  readonly declared: DeclaredUser
  readonly found: UserTable
  readonly differences: Changes
}

/**
 * Plans what changes of users who are there. It makes none, since a declaration has no passwords: `problems`
 * has those who are not there, or are declared by two of their names. `resources` and `groups` are those that
 * there will be.
 */
export async function planUsers(
  admin: Admin,
  declared: readonly DeclaredUser[],
  { resources, groups }: { readonly resources: ReadonlySet<string>; readonly groups: KnownGroups },
): Promise<{ readonly users: readonly PlannedUser[]; readonly problems: readonly string[] }> {
  const users: PlannedUser[] = []
  const problems: string[] = []
  const names = new Map<string, string>()
  for (const user of declared) {
    const name = user.username
    const found = await findUser(admin.db, name)
    if (!found) {
      problems.push(`${name}: there is no such user: \`mintmark user create\` or \`user invite\` makes one`)
      continue
    }
    const other = names.get(found.id.toString('hex'))
    if (other !== undefined) problems.push(`${name}: it is the same user as ${other}`)
    names.set(found.id.toString('hex'), name)
    problems.push(...[...roleProblems(user.roles, resources)].map(problem => `${name}: ${problem}`))
    const roles = rolesColumn(user.roles)
    const isChanged = roles !== found.roles
    const differences = isChanged ? { roles: { from: rolesOf(found.roles), to: user.roles } } : {}
    if (isChanged) await refuseUserUnlessUnlimited(admin, found)
    if (isChanged) refuseUnlessUnlimited(admin, user.roles)
    users.push({ name, declared: user, found, differences })
  }
  await refuseOwnLoss(admin, users, groups)
  return { users, problems }
}

/** Refuses a plan after which who acts would administer no more, by roles of its own and of its groups. */
async function refuseOwnLoss(
  admin: Admin,
  users: readonly PlannedUser[],
  groups: KnownGroups,
): Promise<void> {
  const { actor, db } = admin
  const user = actor.kind === 'user' ? await findUserById(db, actor.id) : undefined
  if (!user) return
  const planned = users.find(({ found }) => found.id.equals(user.id))
  const after = planned ? { ...user, roles: rolesColumn(planned.declared.roles) } : user
  await refuseOwnEnd(admin, user, rolesWithGroups(after, groups, undefined))
}
