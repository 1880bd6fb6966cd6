/** Roles of users that may administer, with the scopes that each may use at the most. */
export const adminRoles: ReadonlyMap<string, readonly string[]> = new Map([
  ['mintmark:admin', ['admin:write', 'admin:read']],
  ['mintmark:support', ['admin:users:read', 'admin:sessions']],
])

/** Whether who has these roles may administer. */
export function administers(roles: readonly string[]): boolean {
  return roles.some(role => adminRoles.has(role))
}
