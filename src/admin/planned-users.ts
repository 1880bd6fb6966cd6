import type { UserTable } from '../../db/schema.ts'
import { findUser } from '../../db/users/users.ts'
import { itemsOf } from '../values/list.ts'
import type { Admin } from './admin.ts'
import { refuseOwnLossOfRole, refuseUnlessUnlimited } from './administrators.ts'
import type { DeclaredUser } from './declaration.ts'
import { differencesOf } from './differences.ts'

/** A user as declared, and as it is. */
export interface PlannedUser {
  readonly name: string
  readonly declared: DeclaredUser
  readonly found: UserTable
  readonly differences: ReturnType<typeof differencesOf>
}

/**
 * Plans what changes of users who are there. It makes none, since a declaration has no passwords: `problems`
 * has those who are not there, or are declared by two of their names.
 */
export async function planUsers(
  admin: Admin,
  declared: readonly DeclaredUser[],
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
    const before = itemsOf(found.roles)
    const differences = differencesOf({ roles: before }, { roles: user.roles })
    if (Object.keys(differences).length > 0) {
      refuseUnlessUnlimited(admin, [...before, ...user.roles])
      refuseOwnLossOfRole(admin, found, user.roles)
    }
    users.push({ name, declared: user, found, differences })
  }
  return { users, problems }
}
