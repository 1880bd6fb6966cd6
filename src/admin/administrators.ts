import type { UserTable } from '../../db/schema.ts'
import { Refusal } from '../errors.ts'
import { itemsOf } from '../values/list.ts'
import type { Admin } from './admin.ts'

/** Roles of users that may administer, with the scopes that each may use at the most. */
export const adminRoles: ReadonlyMap<string, readonly string[]> = new Map([
  ['mintmark:admin', ['admin:write', 'admin:read']],
  ['mintmark:support', ['admin:users:read', 'admin:sessions']],
])

/**
 * Refuses a change of who administers, and of their accounts, to who may not do everything: who sets an
 * administrator's password is one.
 */
export function refuseUnlessUnlimited(
  { isLimited }: Pick<Admin, 'isLimited'>,
  roles: readonly string[],
): void {
  if (!isLimited || !roles.some(role => adminRoles.has(role))) return
  throw new Refusal(
    'forbidden',
    'who administers is changed with the scope admin:write alone',
    undefined,
    'roles',
  )
}

/** Refuses what would leave administrators without a way in: to end themselves, or their own role. */
export function refuseOwnEnd(
  { actor }: Pick<Admin, 'actor'>,
  { id, roles }: Pick<UserTable, 'id' | 'roles'>,
): void {
  if (actor.kind !== 'user' || !actor.id.equals(id)) return
  if (!itemsOf(roles).some(role => adminRoles.has(role))) return
  throw new Refusal(
    'conflict',
    'this would end your own way in: another administrator does it, or `mintmark` on the host',
  )
}
