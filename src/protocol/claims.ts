import { isObject } from '../values/json.ts'
import { itemsOf } from '../values/list.ts'
import { hasOpenid } from './openid-scopes.ts'
import {
  isStandardClaim,
  parseUserClaims,
  standardClaims,
  type StandardClaim,
  type UserClaims,
} from './standard-claims.ts'

/** What a request asks for by name (OpenID Connect Core §5.5): the names of claims, for each place. */
export interface RequestedClaims {
  readonly userinfo: readonly string[]
  readonly idToken: readonly string[]
  /** The `sub` that the log-in must be of, where the request says so. */
  readonly sub: string | null
  /** The `acr` values of an essential claim: the log-in must have one of them. */
  readonly essentialAcr: readonly string[]
}

/** The claims that each scope gives (OpenID Connect Core §5.4); `roles` is one of this server. */
const claimsOfScope: Readonly<Record<string, readonly ClaimName[]>> = {
  profile: standardClaims.filter(name => !/^(?:email|phone|address)/.test(name)),
  email: ['email', 'email_verified'],
  address: ['address'],
  phone: ['phone_number', 'phone_number_verified'],
  roles: ['roles'],
}

/** The scopes that give claims of the user. */
export const scopesOfClaims: readonly string[] = Object.keys(claimsOfScope)

/** The scope that gives a claim of users; undefined where none does. */
export function scopeOfClaim(name: string): string | undefined {
  return scopesOfClaims.find(scope => claimsOfScope[scope]?.some(claim => claim === name))
}

type ClaimName = StandardClaim | 'roles'

/** The claims of users that this server knows, but for `sub` (`claims_supported`). */
export const claimNames: readonly string[] = [...standardClaims, 'roles']

function isClaimName(name: string): name is ClaimName {
  return name === 'roles' || isStandardClaim(name)
}

/**
 * What a person is asked to allow: the scopes of a request, and for each claim that it names the scope that
 * would give it, whose words tell of it. So the person is told of all that `claimsFor` can give by the
 * request.
 */
export function scopesToAllow({
  scope,
  claims,
}: {
  /** Separated by spaces. */
  readonly scope: string
  readonly claims: Pick<RequestedClaims, 'userinfo' | 'idToken'> | null
}): readonly string[] {
  const asked = itemsOf(scope)
  // Without `openid` the names are worth nothing.
  const names = claims && hasOpenid(scope) ? [...claims.userinfo, ...claims.idToken] : []
  const isNamed = (claim: string) => names.includes(claim)
  const telling = scopesOfClaims.filter(one => claimsOfScope[one]?.some(isNamed))
  return [...new Set([...asked, ...telling])]
}

/** What is known of a user. */
export interface UserFacts {
  readonly username: string
  /** Those for all resources. */
  readonly roles: readonly string[]
  /** JSON of the standard claims. */
  readonly claims: string
}

/**
 * The claims of a user that these scopes give, and those asked for by name, in the order of the standard. A
 * claim that the user has not is left out (§5.3.2), but for `preferred_username`, which then is the name to
 * log in with; `roles` are a list always.
 */
export function claimsFor(
  { username, roles, claims }: UserFacts,
  { scopes, names = [] }: { readonly scopes: readonly string[]; readonly names?: readonly string[] },
): Readonly<Record<string, unknown>> {
  const asked = new Set<string>(names)
  for (const scope of scopes) {
    const given = Object.hasOwn(claimsOfScope, scope) ? claimsOfScope[scope] : undefined
    for (const name of given ?? []) asked.add(name)
  }
  const known: UserClaims = { preferred_username: username, ...parseUserClaims(claims) }
  const given: Record<string, unknown> = {}
  for (const name of standardClaims) {
    const value = asked.has(name) ? known[name] : undefined
    if (value !== undefined) given[name] = value
  }
  if (asked.has('roles')) given['roles'] = roles
  return given
}

/**
 * Reads the parameter `claims` (OpenID Connect Core §5.5): the names that this server knows, since others are
 * to be ignored. Undefined where it is no JSON object of the form that §5.5.1 gives, or asks for two users.
 */
export function parseRequestedClaims(text: string): RequestedClaims | undefined {
  const request = parseObject(text)
  if (!request) return undefined
  const userinfo = readPlace(request, 'userinfo')
  const idToken = readPlace(request, 'id_token')
  if (!userinfo || !idToken) return undefined

  const sub = textsOf([...wishesOf('sub', userinfo), ...wishesOf('sub', idToken)])
  const acr = textsOf(wishesOf('acr', idToken).filter(({ isEssential }) => isEssential))
  if (!sub || sub.length > 1 || !acr) return undefined
  const namesIn = (place: Place) => [...place.keys()].filter(isClaimName)
  return {
    userinfo: namesIn(userinfo),
    idToken: namesIn(idToken),
    sub: sub[0] ?? null,
    essentialAcr: acr,
  }
}

/** How one claim is asked for (§5.5.1). */
interface Wish {
  readonly isEssential: boolean
  /** What it may be, by `value` or `values`; anything where there is none. */
  readonly values: readonly unknown[]
}

/** The wishes for one place, by the names of claims. */
type Place = ReadonlyMap<string, Wish>

function readPlace(request: Readonly<Record<string, unknown>>, name: string): Place | undefined {
  const place = Object.hasOwn(request, name) ? request[name] : undefined
  // Null is not foreseen for a whole place, but asks for nothing in particular.
  if (place === undefined || place === null) return new Map()
  if (!isObject(place)) return undefined
  const wishes = new Map<string, Wish>()
  for (const [claim, asked] of Object.entries(place)) {
    const wish = readWish(asked)
    if (!wish) return undefined
    wishes.set(claim, wish)
  }
  return wishes
}

function readWish(asked: unknown): Wish | undefined {
  if (asked === null) return { isEssential: false, values: [] }
  if (!isObject(asked)) return undefined
  const { essential = false, value, values = value === undefined ? [] : [value] } = asked
  if (typeof essential !== 'boolean' || !Array.isArray(values)) return undefined
  return { isEssential: essential, values }
}

function wishesOf(claim: string, place: Place): readonly Wish[] {
  const wish = place.get(claim)
  return wish ? [wish] : []
}

/** The texts that a claim may be, each once; undefined where it is to be something else. */
function textsOf(wishes: readonly Wish[]): readonly string[] | undefined {
  const values = wishes.flatMap(wish => wish.values)
  return values.every(value => typeof value === 'string') ? [...new Set(values)] : undefined
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : undefined
  } catch {
    return undefined // it is not JSON
  }
}
