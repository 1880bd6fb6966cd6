import type { Database } from '../../db/database.ts'
import { rolesOfGroups } from '../../db/users/groups.ts'
import { rolesFor, type RoleHolder } from '../protocol/roles.ts'

/**
 * The roles that a user has for all resources, those of its groups among them, as the database has them at
 * this moment: for who may do something here, and not for tokens.
 */
export async function rolesNow(db: Database, holder: RoleHolder): Promise<readonly string[]> {
  const columns = [holder.roles, ...(await rolesOfGroups(db, holder.group_names))]
  return columns.flatMap(column => rolesFor(column, undefined))
}
