import { areTexts, isObject } from '../values/json.ts'
import { registeredClaims } from './registered-claims.ts'
import { addressMembers, isStandardClaim, standardClaims, type UserClaims } from './standard-claims.ts'

/*
 * Claims of an installation of its own: a name, a kind, and a source, which is a field of the user, a
 * constant, or a map of roles or groups.
 */

export const ownClaimKinds = ['string', 'number', 'boolean', 'array'] as const

export type OwnClaimKind = (typeof ownClaimKinds)[number]

type Scalar = string | number | boolean

/** An array is one of texts. */
export type OwnClaimValue = Scalar | readonly string[]

/** Values by the names of roles or groups. The first that the user has counts, or for an array all. */
export type ClaimMap = Readonly<Record<string, Scalar>>

export type ClaimSource =
  | { readonly user: string }
  | { readonly constant: OwnClaimValue }
  | { readonly roles: ClaimMap; readonly otherwise?: Scalar }
  | { readonly groups: ClaimMap; readonly otherwise?: Scalar }

export interface OwnClaim {
  readonly name: string
  readonly kind: OwnClaimKind
  readonly source: ClaimSource
}

/** What the values are made of. */
export interface OwnClaimFacts {
  /** Undefined for a machine, and where it is not known. */
  readonly user: { readonly username: string; readonly claims: UserClaims } | undefined
  readonly roles: readonly string[]
  readonly groups: readonly string[]
}

/** So much JSON all claims together may be that one resource or client wants. */
export const ownClaimsBytesMax = 4096

/** So many names one map has. */
const mapMax = 100

const nameForm = /^[A-Za-z][\x21\x23-\x5b\x5d-\x7e]{0,99}$/

export const takesClaimName =
  'up to 100 characters of visible ASCII without quotes and backslashes, of which the first is a letter'

export function isClaimName(name: string): boolean {
  return nameForm.test(name)
}

/** The fields of users that a claim may have for its source, with their kinds. */
export const userFields: ReadonlyMap<string, OwnClaimKind> = new Map<string, OwnClaimKind>([
  ['username', 'string'],
  ...standardClaims.filter(name => name !== 'address').map(name => [name, kindOfStandard(name)] as const),
  ...addressMembers.map(member => [`address.${member}`, 'string'] as const),
])

function kindOfStandard(name: string): OwnClaimKind {
  if (name.endsWith('_verified')) return 'boolean'
  return name === 'updated_at' ? 'number' : 'string'
}

/** Why there can be no such claim: sentences without capitals and full stops. */
export function* ownClaimProblems({ name, kind, source }: OwnClaim): Generator<string> {
  if (!isClaimName(name)) yield `name takes ${takesClaimName}`
  if (registeredClaims.has(name) || isStandardClaim(name))
    yield `${name} is a claim that has its meaning already: a name of your own is one with your domain in it, or a prefix`
  if ('user' in source) yield* fieldProblems(source.user, kind)
  else if ('constant' in source) {
    if (!isOfKind(source.constant, kind)) yield `the constant is to be ${takesKind[kind]}`
  } else yield* mapProblems('roles' in source ? source.roles : source.groups, source.otherwise, kind)
  if (ownClaimBytes({ name, kind, source }) > ownClaimsBytesMax)
    yield `it can have more than ${ownClaimsBytesMax} bytes, which no token should carry`
}

function* fieldProblems(field: string, kind: OwnClaimKind): Generator<string> {
  const ofField = userFields.get(field)
  if (ofField === undefined)
    yield `${field} is no field of a user: they are ${[...userFields.keys()].join(', ')}`
  else if (ofField !== kind) yield `the field ${field} is of the kind ${ofField}, and not ${kind}`
}

function* mapProblems(map: ClaimMap, otherwise: Scalar | undefined, kind: OwnClaimKind): Generator<string> {
  const names = Object.keys(map)
  if (names.length === 0 || names.length > mapMax) yield `a map has 1 to ${mapMax} names`
  const ofItems = kind === 'array' ? 'string' : kind
  if (!Object.values(map).every(value => isOfKind(value, ofItems)))
    yield `each value of the map is to be ${takesKind[ofItems]}`
  if (otherwise === undefined) return
  if (kind === 'array') yield 'an array is empty otherwise: leave that out'
  else if (!isOfKind(otherwise, kind)) yield `the value otherwise is to be ${takesKind[kind]}`
}

const takesKind: Readonly<Record<OwnClaimKind, string>> = {
  string: 'a text of up to 1024 characters',
  number: 'a number',
  boolean: 'true or false',
  array: 'a list of up to 100 texts',
}

function isOfKind(value: unknown, kind: OwnClaimKind): boolean {
  if (kind === 'string') return typeof value === 'string' && value.length <= 1024
  if (kind === 'number') return typeof value === 'number' && Number.isFinite(value)
  if (kind === 'boolean') return typeof value === 'boolean'
  return Array.isArray(value) && value.length <= 100 && value.every(item => isOfKind(item, 'string'))
}

/** The most bytes of JSON that a claim takes in a token, with its name; of a field, as many as usual. */
export function ownClaimBytes({ name, source }: OwnClaim): number {
  const around = Buffer.byteLength(JSON.stringify(name)) + 2
  if ('user' in source) return around + 256
  if ('constant' in source) return around + bytesOf(source.constant)
  const values = Object.values('roles' in source ? source.roles : source.groups)
  return around + bytesOf(values)
}

function bytesOf(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value))
}

/** What a token says; undefined where there is nothing to say. An array is there also where it is empty. */
export function ownClaimValue(
  { kind, source }: Pick<OwnClaim, 'kind' | 'source'>,
  { user, roles, groups }: OwnClaimFacts,
): OwnClaimValue | undefined {
  if ('constant' in source) return source.constant
  if ('user' in source) return user && fieldOf(user, source.user)
  const [map, held] = 'roles' in source ? [source.roles, roles] : [source.groups, groups]
  const values = Object.keys(map)
    .filter(name => held.includes(name))
    .flatMap(name => map[name] ?? [])
  if (kind === 'array') return [...new Set(values.map(String))]
  return values[0] ?? source.otherwise
}

function fieldOf(
  { username, claims }: NonNullable<OwnClaimFacts['user']>,
  field: string,
): Scalar | undefined {
  if (field === 'username') return username
  const [name = '', member] = field.split('.')
  const value: unknown = Object.hasOwn(claims, name) ? claims[name] : undefined
  const found = member === undefined ? value : isObject(value) ? value[member] : undefined
  return typeof found === 'string' || typeof found === 'number' || typeof found === 'boolean'
    ? found
    : undefined
}

/** A source as JSON has it; undefined for what is none. */
export function readSource(value: unknown): ClaimSource | undefined {
  if (!isObject(value)) return undefined
  const { user, constant, roles, groups, otherwise, ...rest } = value
  const given = [user, constant, roles, groups].filter(one => one !== undefined)
  if (given.length !== 1 || Object.keys(rest).length > 0) return undefined
  const isMap = roles !== undefined || groups !== undefined
  if (otherwise !== undefined && (!isMap || !isScalar(otherwise))) return undefined
  const more = otherwise === undefined ? {} : { otherwise: otherwise as Scalar }
  if (typeof user === 'string') return { user }
  if (isScalar(constant)) return { constant }
  if (areTexts(constant)) return { constant }
  if (isClaimMap(roles)) return { roles, ...more }
  return isClaimMap(groups) ? { groups, ...more } : undefined
}

function isScalar(value: unknown): value is Scalar {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
}

function isClaimMap(value: unknown): value is ClaimMap {
  return isObject(value) && Object.values(value).every(isScalar)
}
