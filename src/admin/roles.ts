import { findResource } from '../../db/clients/resources.ts'
import { NoGroupError } from '../../db/users/group-members.ts'
import { findGroup } from '../../db/users/groups.ts'
import { list } from '../clients/property-kinds.ts'
import { Refusal } from '../errors.ts'
import { groupsMax, isOwnRole, isRole, readRole, rolesFor, rolesMax, takesRole } from '../protocol/roles.ts'
import type { Admin } from './admin.ts'
import { refuseUnlessUnlimited } from './administrators.ts'

/** A group as it is declared. */
export interface GroupMetadata {
  readonly name: string
  readonly roles: readonly string[]
}

/** The roles of a user or a group in a file. */
export const roleList = list(isRole, { takes: `roles: ${takesRole}`, sentence: `A role is ${takesRole}.` })

/** Refuses what is no role, or one for a resource that is not there. */
export async function refuseOddRoles({ db }: Pick<Admin, 'db'>, roles: readonly string[]): Promise<void> {
  const uris = roles.flatMap(role => readRole(role).resource ?? [])
  const found = await Promise.all([...new Set(uris)].map(uri => findResource(db, uri)))
  const [problem] = roleProblems(roles, new Set(found.flatMap(row => row?.uri ?? [])))
  if (problem !== undefined) throw new Refusal('invalid', problem, undefined, 'roles')
}

/** Why a user or a group cannot have these roles, where there are these resources. */
export function* roleProblems(roles: readonly string[], resources: ReadonlySet<string>): Generator<string> {
  if (roles.length > rolesMax) yield `there are at most ${rolesMax} roles`
  for (const role of roles) {
    const { name, resource } = readRole(role)
    if (resource !== undefined && isOwnRole(name))
      yield `${name} is a role at this server itself, and for no resource`
    else if (!isRole(role)) yield `${JSON.stringify(role)} is no role: it takes ${takesRole}`
    else if (resource !== undefined && !resources.has(resource))
      yield `the role ${role} is for a resource that is not there`
  }
}

/** Refuses groups for a new user of which one is not there, or not for who acts to give. */
export async function refuseOddGroups(
  admin: Pick<Admin, 'db' | 'isLimited'>,
  names: readonly string[],
): Promise<void> {
  if (names.length > groupsMax)
    throw new Refusal('invalid', `a user is in at most ${groupsMax} groups`, undefined, 'groups')
  for (const name of names) {
    const group = await findGroup(admin.db, name)
    if (!group || group.deleted_at !== null) throw noGroup(name)
    refuseUnlessUnlimited(admin, rolesFor(group.roles, undefined))
  }
}

/** The result of work with groups; refuses it where one was deleted at the same moment. */
export async function unlessGone<T>(work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    throw error instanceof NoGroupError ? noGroup(error.group) : error
  }
}

export const noGroup = (name: string) =>
  new Refusal('not_found', `there is no group ${name}`, '`mintmark group list` shows all')
