import type { UserTable } from '../../db/schema.ts'
import type { ClientMetadata } from '../clients/properties.ts'
import { Refusal } from '../errors.ts'
import { administers } from '../protocol/admin-roles.ts'
import type { RoleHolder } from '../protocol/roles.ts'
import { rolesNow } from '../users/roles.ts'
import type { Admin } from './admin.ts'

/** The scopes of those who administer by HTTP, as metadata lists them. */
export const adminScopes: readonly string[] = [
  'admin:read',
  'admin:write',
  ...['users', 'sessions', 'clients', 'keys'].flatMap(noun => [`admin:${noun}`, `admin:${noun}:read`]),
]

/**
 * Refuses a change of who administers, and of their accounts, to who may not do everything: who sets an
 * administrator's password is one.
 */
export function refuseUnlessUnlimited(
  { isLimited }: Pick<Admin, 'isLimited'>,
  roles: readonly string[],
): void {
  if (isLimited && administers(roles)) throw tooLimited('roles')
}

/**
 * Refuses the same for a client that administers, gets tokens with which people do, or may impersonate them:
 * who sets its keys, or where it leads them, has all that they may.
 */
export function refuseClientUnlessUnlimited(
  { isLimited }: Pick<Admin, 'isLimited'>,
  { admin, scope, may_impersonate }: Pick<ClientMetadata, 'admin' | 'scope' | 'may_impersonate'>,
): void {
  if (!isLimited) return
  if (admin) throw tooLimited('admin')
  if (may_impersonate) throw tooLimited('may_impersonate')
  if (scope.some(isAdminScope)) throw tooLimited('scope')
}

const isAdminScope = (scope: string) => adminScopes.includes(scope)

const tooLimited = (field: string) =>
  new Refusal('forbidden', 'who administers is changed with the scope admin:write alone', undefined, field)

/** The same for the account of a user, who may administer by a group. */
export async function refuseUserUnlessUnlimited(
  admin: Pick<Admin, 'isLimited' | 'db'>,
  user: RoleHolder,
): Promise<void> {
  if (admin.isLimited) refuseUnlessUnlimited(admin, await rolesNow(admin.db, user))
}

/**
 * Refuses what would leave administrators without a way in: to end themselves, or the last of their roles for
 * it. `after` are those that are left.
 */
export async function refuseOwnEnd(
  { actor, db }: Pick<Admin, 'actor' | 'db'>,
  user: Pick<UserTable, 'id'> & RoleHolder,
  after: readonly string[] = [],
): Promise<void> {
  if (actor.kind !== 'user' || !actor.id.equals(user.id)) return
  if (!administers(after) && administers(await rolesNow(db, user))) throw ownEnd()
}

/** The same for a client that acts: to end itself, or to become one that may not (`after`). */
export function refuseOwnEndOfClient(
  { actor }: Pick<Admin, 'actor'>,
  id: string,
  after?: Pick<ClientMetadata, 'admin' | 'scope' | 'grant_types' | 'resources'>,
): void {
  if (actor.kind !== 'client' || actor.id !== id) return
  const isLeft =
    after?.admin &&
    after.scope.some(isAdminScope) &&
    after.grant_types.includes('client_credentials') &&
    // With a resource, all its tokens are for that.
    after.resources.length === 0
  if (!isLeft) throw ownEnd()
}

const ownEnd = () =>
  new Refusal(
    'conflict',
    'this would end your own way in: another administrator does it, or `mintmark` on the host',
  )
