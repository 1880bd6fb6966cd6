import type { OwnClaim } from '../protocol/own-claims.ts'
import { scopeOfClaim } from '../protocol/claims.ts'
import { claimsBytesMax } from '../protocol/fitting-claims.ts'
import { readRole, rolesOf, type KnownGroups, type RoleHolder } from '../protocol/roles.ts'
import { itemsOf } from '../values/list.ts'

/** Where a claim is: a token, or the answer of /userinfo. */
export type ClaimPlace = 'access_token' | 'id_token' | 'userinfo'

/** All that says why a claim is there. */
export interface RuleFacts {
  readonly holder: RoleHolder
  readonly groups: KnownGroups
  readonly own: ReadonlyMap<string, OwnClaim>
  /** What the resource wants; null where it has not said so. */
  readonly wantedByResource: readonly string[] | null
  readonly wantedByClient: readonly string[]
  /** Separated by spaces. */
  readonly scope: string
  /** The resource, or the issuer. */
  readonly audience: string
}

const always: Readonly<Record<string, string>> = {
  iss: 'the issuer',
  sub: 'who it is about',
  exp: 'when it expires',
  iat: 'when it is made',
  jti: 'its own id: another one in each token',
  client_id: 'the client that it is made for',
  scope: 'what is granted, as far as the resource knows it',
  sid: 'the session: another one for each log-in',
  auth_time: 'when the user last proved who it is',
  acr: 'how surely that is known, by what was shown',
  amr: 'what was shown: here a password alone',
  status: 'where the status of its session is listed, since the resource wants it (`--status`)',
  _claim_names: `those that are left out: all together would have more than ${claimsBytesMax} bytes`,
  _claim_sources: 'where those are told',
  at_hash: 'of the access token that comes with it',
}

/** Which rule has put a claim where it is: a sentence without its full stop. */
export function ruleOf(place: ClaimPlace, name: string, facts: RuleFacts): string {
  if (name === 'aud')
    return place === 'access_token'
      ? 'the resource, or the issuer where there is none'
      : 'the client that it is for'
  const fixed = Object.hasOwn(always, name) ? always[name] : undefined
  if (fixed !== undefined) return fixed
  const why = wishOf(place, name, facts)
  if (name === 'roles') return `${why}: ${rolesRule(place, facts)}`
  if (name === 'groups') return `${why}: the groups that the user is in`
  const claim = facts.own.get(name)
  return claim ? `${why}: a claim of your own, ${sourceRule(claim)}` : why
}

function wishOf(
  place: ClaimPlace,
  name: string,
  { wantedByResource, wantedByClient, scope }: RuleFacts,
): string {
  if (place === 'access_token')
    return wantedByResource === null
      ? 'there are some, and its resource has not said what it wants'
      : 'its resource wants it (`resource update --claims`)'
  const more =
    place === 'id_token' ? ', which are in ID tokens too (`client update --claims-in-id-token`)' : ''
  const given = scopeOfClaim(name)
  if (given !== undefined && itemsOf(scope).includes(given)) return `of the scope ${given}${more}`
  if (wantedByClient.includes(name)) return `its client wants it (\`client update --claims\`)${more}`
  return 'its request names it'
}

/** `editor is the user's own; boss is of the group staff`. */
function rolesRule(place: ClaimPlace, { holder, groups, audience }: RuleFacts): string {
  const resource = place === 'access_token' ? audience : undefined
  const isMeant = (role: string) => {
    const { resource: uri } = readRole(role)
    return uri === undefined || uri === resource
  }
  const told = (whose: string, column: string) =>
    rolesOf(column)
      .filter(isMeant)
      .map(role => `${role} ${whose}`)
  const all = [
    ...told("is the user's own", holder.roles),
    ...itemsOf(holder.group_names).flatMap(name =>
      told(`is of the group ${name}`, groups.get(name)?.roles ?? ''),
    ),
  ]
  return all.length === 0 ? 'the user has none' : all.join('; ')
}

function sourceRule({ source }: OwnClaim): string {
  if ('user' in source) return `the field ${source.user} of the user`
  if ('constant' in source) return 'the same for all'
  const [by, map] = 'roles' in source ? ['roles', source.roles] : ['groups', source.groups]
  const { otherwise } = source
  const rest = otherwise === undefined ? '' : `, otherwise ${JSON.stringify(otherwise)}`
  return `by ${by}: ${JSON.stringify(map)}${rest}`
}
