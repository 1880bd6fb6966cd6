/**
 * The scopes of OpenID Connect Core §5.4 and §11, and `roles`. A client that people log in to may ask for
 * them without having been given them; they belong to no resource.
 */
export const openidScopes = [
  'openid',
  'profile',
  'email',
  'address',
  'phone',
  'roles',
  'offline_access',
] as const

/** Asks for a session that outlives the sign-in it came from (OpenID Connect Core §11). */
export const offlineAccess = 'offline_access'

const known: ReadonlySet<string> = new Set(openidScopes)

export function isOpenidScope(scope: string): boolean {
  return known.has(scope)
}

/** Whether a scope, separated by spaces, makes it an OpenID request (OpenID Connect Core §3.1.2.1). */
export function hasOpenid(scope: string): boolean {
  return scope.includes('openid') && scope.split(' ').includes('openid')
}
