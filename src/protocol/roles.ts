import { itemsOf } from '../values/list.ts'
import { isResourceUri, resourceUriMax } from './resource.ts'
import { isScopeToken } from './scope.ts'

/*
 * A role is for all resources (`editor`), or for one (`editor@https://api.example`). In a column the two
 * parts of the latter have a backslash between them, which no role could have before there were such: so one
 * that only looks like it, and was given then, goes on to be in the tokens of all resources as it is.
 */

const separator = '\\'

/** The greatest length of a role without its resource, in characters. */
export const roleNameMax = 255

/** And with it. */
export const roleLengthMax = roleNameMax + 1 + resourceUriMax

/** Roles of which this server itself makes something. */
const ownRole = /^mintmark:/

/** So many roles a user or a group has at the most, and so many groups a user: a token may have them all. */
export const rolesMax = 100
export const groupsMax = 100

/** What is a role, for a sentence that refuses another text. */
export const takesRole =
  'visible ASCII without quotes and backslashes, like editor, or editor@https://api.example for one resource'

/** The greatest length of the name of a group, in characters. */
export const groupNameMax = 100

/** What is the name of a group, for a sentence that refuses another text. */
export const takesGroupName = `up to ${groupNameMax} characters of visible ASCII without spaces, quotes and backslashes`

export function isGroupName(text: string): boolean {
  return text.length <= groupNameMax && isScopeToken(text)
}

/** The two parts of a role as it is written. */
export interface Role {
  readonly name: string
  /** The URI of the one resource that it is for; undefined for all. */
  readonly resource: string | undefined
}

/** The first `@` with the URI of a resource behind it divides the role. */
export function readRole(text: string): Role {
  for (let at = text.indexOf('@', 1); at > 0; at = text.indexOf('@', at + 1)) {
    const resource = text.slice(at + 1)
    if (isResourceUri(resource)) return { name: text.slice(0, at), resource }
  }
  return { name: text, resource: undefined }
}

/** Whether a text is a role. */
export function isRole(text: string): boolean {
  const { name, resource } = readRole(text)
  return isScopeToken(text) && name.length <= roleNameMax && (resource === undefined || !isOwnRole(name))
}

export function isOwnRole(name: string): boolean {
  return ownRole.test(name)
}

/** Roles as a column has them, each once. */
export function rolesColumn(roles: readonly string[]): string {
  const stored = roles.map(text => {
    const { name, resource } = readRole(text)
    return resource === undefined ? name : name + separator + resource
  })
  return [...new Set(stored)].join(' ')
}

/** Roles as they are written. */
export function rolesOf(column: string): readonly string[] {
  return itemsOf(column.replaceAll(separator, '@'))
}

/** The names of the roles that a column gives: those for all resources, and those for this one. */
export function rolesFor(column: string, resource: string | undefined): readonly string[] {
  const roles = itemsOf(column)
  if (isForAllAlone(column)) return roles
  const names = roles.flatMap(role => {
    const [name = '', uri] = role.split(separator)
    return uri === undefined || uri === resource ? [name] : []
  })
  return [...new Set(names)]
}

/** Whether the roles of a column are for all resources, so that the column lists their names. */
export function isForAllAlone(column: string): boolean {
  return !column.includes(separator)
}

/** Whose roles are asked for, as the rows of users and sessions tell them. */
export interface RoleHolder {
  /** As a column has them. */
  readonly roles: string
  /** Separated by spaces. */
  readonly group_names: string
}

/** The groups that there are, by their names. */
export type KnownGroups = ReadonlyMap<string, { readonly roles: string }>

/** The groups of a user that there are, in the order in which the user came into them. */
export function groupsOf({ group_names: names }: RoleHolder, groups: KnownGroups): readonly string[] {
  return itemsOf(names).filter(name => groups.has(name))
}

/**
 * The roles that a user has for a resource, or only those for all: its own in their order, and then those of
 * its groups that are not among them.
 */
export function rolesWithGroups(
  holder: RoleHolder,
  groups: KnownGroups,
  resource: string | undefined,
): readonly string[] {
  const own = rolesFor(holder.roles, resource)
  const ofGroups = groupsOf(holder, groups).flatMap(name => rolesFor(groups.get(name)?.roles ?? '', resource))
  return [...own, ...new Set(ofGroups.filter(role => !own.includes(role)))]
}

/** Names, separated by spaces, without one of them. */
export function without(names: string, name: string): string {
  return itemsOf(names)
    .filter(item => item !== name)
    .join(' ')
}
