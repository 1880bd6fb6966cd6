import type { UserTable } from '../../db/schema.ts'
import { comparedName, comparedNamesOf } from '../../db/users/compared-name.ts'
import { isOwnRole } from '../protocol/roles.ts'
import { isStandardClaim } from '../protocol/standard-claims.ts'
import { itemsOf } from '../values/list.ts'
import { readUser } from './imported-user.ts'
import type { Passwords } from './passwords.ts'

/** What an old system may say of a user, beside the standard claims. */
const memberNames = ['sub', 'username', 'roles', 'claims', 'created_at']

export type MovedUser =
  | { readonly row: UserTable; readonly rolesLeftOut: number }
  /** Why it is no user: for logs, without anything of a wrong member. */
  | { readonly problem: string }

/**
 * The row of a user to whom an old system has said yes, without the password. `username` is as it was typed;
 * roles of this server are left out: that system is not trusted with it.
 */
export function readMovedUser(
  members: Readonly<Record<string, unknown>>,
  username: string,
  options: { readonly passwords: Pick<Passwords, 'wrap'>; readonly now: number },
): MovedUser {
  if (!Object.keys(members).every(name => memberNames.includes(name) || isStandardClaim(name)))
    return { problem: `the answer has another member than ${memberNames.join(', ')} and the standard claims` }
  const read = readUser({ username, ...members }, options)
  if ('problem' in read) return read
  const { row } = read
  if (!comparedNamesOf(row).some(({ name }) => name === comparedName(username)))
    return { problem: 'the answer is of another user name than was asked for' }
  const all = itemsOf(row.roles)
  const roles = all.filter(role => !isOwnRole(role))
  return { row: { ...row, roles: roles.join(' ') }, rolesLeftOut: all.length - roles.length }
}
