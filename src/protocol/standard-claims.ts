import { isObject } from '../values/json.ts'

/** The value of a standard claim; an address is an object. */
export type ClaimValue = string | number | boolean | Address

export type Address = Readonly<Partial<Record<AddressMember, string>>>

/** The standard claims that a user has, by their names. */
export type UserClaims = Readonly<Record<string, ClaimValue>>

/** A form that a claim may have. */
interface ClaimKind {
  /** For the sentence that refuses another value. */
  readonly takes: string
  /** The value that a text on the command line stands for; undefined for none. */
  fromText(text: string): ClaimValue | undefined
}

/** The greatest length of one text, in characters. */
const lengthMax = 1024

function textKind(takes: string, isText: (text: string) => boolean) {
  return {
    takes,
    fromText: (text: string) => (text !== '' && text.length <= lengthMax && isText(text) ? text : undefined),
  }
}

const line = textKind('a text of one line', text => !/[\p{Cc}\p{Zl}\p{Zp}]/u.test(text))

const url = textKind('an https or http URL', text => {
  const parsed = /^https?:\/\/[\x21-\x7e]+$/i.test(text) ? URL.parse(text) : null
  return parsed !== null && parsed.username === '' && parsed.password === ''
})

/** `addr-spec` of RFC 5322 §3.4.1 without comments and quotes, in any script (RFC 6532). */
const email = textKind(
  'a mail address, like ada@example.com',
  text => text.length <= 254 && /^[^\s\p{C}"(),:;<>@[\\\]]+@[^\s\p{C}"(),:;<>@[\\\]]+$/u.test(text),
)

/** E.164 with the punctuation of the examples, and perhaps an extension (RFC 3966 §5.3). */
const phone = textKind('an international phone number, like +49 30 123456', text =>
  /^\+\d(?:[ ().-]*\d){3,18}(?:;ext=\d{1,10})?$/.test(text),
)

const birthdate = textKind('a date, like 1815-12-10, 0000-12-10 without its year, or 1815 alone', text => {
  const [, year, month, day] = /^(\d{4})(?:-(\d\d)-(\d\d))?$/.exec(text) ?? []
  if (year === undefined) return false
  if (month === undefined || day === undefined) return year !== '0000'
  // In a leap year, where none is told.
  const date = new Date(`${year === '0000' ? '2000' : year}-${month}-${day}T00:00:00Z`)
  return !Number.isNaN(date.getTime()) && date.getUTCDate() === Number(day)
})

const zoneinfo = textKind(
  'a time zone, like Europe/Berlin',
  text => /^[A-Z]/i.test(text) && isKnown(() => new Intl.DateTimeFormat('en', { timeZone: text })),
)

const locale = textKind('a language tag (BCP 47), like de-DE', text =>
  isKnown(() => Intl.getCanonicalLocales(text)),
)

/** Whether the library of languages and places takes it. */
function isKnown(construct: () => unknown): boolean {
  try {
    construct()
    return true
  } catch {
    return false // a RangeError, which says nothing more
  }
}

const flag: ClaimKind = {
  takes: 'true or false',
  fromText: text => (text === 'true' ? true : text === 'false' ? false : undefined),
}

const time: ClaimKind = {
  takes: 'a time in seconds since 1970',
  fromText: text => (/^\d{1,12}$/.test(text) ? Number(text) : undefined),
}

/** OpenID Connect Core §5.1.1. */
export const addressMembers = [
  'formatted',
  'street_address',
  'locality',
  'region',
  'postal_code',
  'country',
] as const

export type AddressMember = (typeof addressMembers)[number]

/** Lines of an address are divided by line feeds. */
const lines = textKind('a text', text => !/[^\P{Cc}\r\n]/u.test(text))

const address: ClaimKind = {
  takes: `an object with texts for some of ${addressMembers.join(', ')}`,
  fromText: text => {
    const value = parseJson(text)
    return isAddress(value) ? value : undefined
  },
}

function isAddress(value: unknown): value is Address {
  if (!isObject(value)) return false
  const members = Object.entries(value)
  return (
    members.length > 0 &&
    members.every(
      ([name, text]) =>
        isAddressMember(name) && typeof text === 'string' && lines.fromText(text) !== undefined,
    )
  )
}

export function isAddressMember(name: string): name is AddressMember {
  return addressMembers.some(member => member === name)
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined // it is not JSON
  }
}

/** The standard claims of OpenID Connect Core §5.1, but for `sub`: each with the form that it has. */
const kinds = {
  name: line,
  given_name: line,
  family_name: line,
  middle_name: line,
  nickname: line,
  preferred_username: line,
  profile: url,
  picture: url,
  website: url,
  email,
  email_verified: flag,
  gender: line,
  birthdate,
  zoneinfo,
  locale,
  phone_number: phone,
  phone_number_verified: flag,
  address,
  updated_at: time,
} as const satisfies Readonly<Record<string, ClaimKind>>

export type StandardClaim = keyof typeof kinds

export const standardClaims = Object.keys(kinds) as readonly StandardClaim[]

export function isStandardClaim(name: string): name is StandardClaim {
  return Object.hasOwn(kinds, name)
}

/** One change of a user's claims. */
export type ClaimChange =
  | { readonly kind: 'set'; readonly name: StandardClaim; readonly value: ClaimValue }
  | { readonly kind: 'set member'; readonly member: AddressMember; readonly value: string }
  | { readonly kind: 'remove'; readonly name: StandardClaim }
  | { readonly kind: 'remove member'; readonly member: AddressMember }
  | { readonly kind: 'remove all' }

/**
 * Reads `given_name=Ada`, `address.country=DE` or `address={"country":"DE"}`. For anything else, returns the
 * sentence that says what is wrong.
 */
export function readClaim(text: string): ClaimChange | string {
  const equals = text.indexOf('=')
  if (equals < 1) return 'A claim is given as name=value, like given_name=Ada.'
  const value = text.slice(equals + 1).normalize('NFC')
  const named = readClaimName(text.slice(0, equals))
  if (typeof named === 'string') return named
  if (named.kind === 'remove member') {
    const { member } = named
    const text = lines.fromText(value)
    return text === undefined
      ? `${member} takes ${lines.takes}.`
      : { kind: 'set member', member, value: text }
  }
  const { name } = named
  const read = kinds[name].fromText(value)
  return read === undefined ? `${name} takes ${kinds[name].takes}.` : { kind: 'set', name, value: read }
}

/**
 * Reads a claim that another program has written, as JSON or as text; answers with the sentence that says
 * what it takes where it is not of its form.
 */
export function readClaimValue(
  name: StandardClaim,
  value: unknown,
): { readonly value: ClaimValue } | { readonly problem: string } {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '')
  const read = kinds[name].fromText(text.normalize('NFC'))
  return read === undefined ? { problem: `${name} takes ${kinds[name].takes}` } : { value: read }
}

/** Reads the name of a claim that is to go, or of a member of the address. */
export function readClaimName(
  text: string,
): Extract<ClaimChange, { readonly kind: 'remove' | 'remove member' }> | string {
  if (isStandardClaim(text)) return { kind: 'remove', name: text }
  const [, member = ''] = /^address\.(\w+)$/.exec(text) ?? []
  if (isAddressMember(member)) return { kind: 'remove member', member }
  return `A claim is one of ${standardClaims.join(', ')}; address.${addressMembers.join(', address.')}.`
}

/**
 * The claims of a user after some changes, in the order of the standard. A new mail address or phone number
 * is not verified, unless it is said with it.
 */
export function changedClaims(before: UserClaims, changes: readonly ClaimChange[]): UserClaims {
  const claims = new Map(Object.entries(before))
  const changeAddress = (member: AddressMember, value: string | undefined) => {
    const { [member]: _, ...others } = addressOf(claims.get('address'))
    const changed = value === undefined ? others : { ...others, [member]: value }
    if (Object.keys(changed).length === 0) claims.delete('address')
    else claims.set('address', changed)
  }
  for (const change of changes) {
    if (change.kind === 'remove all') claims.clear()
    else if (change.kind === 'remove') claims.delete(change.name)
    else if (change.kind === 'set') claims.set(change.name, change.value)
    else changeAddress(change.member, change.kind === 'set member' ? change.value : undefined)
  }
  for (const name of ['email', 'phone_number'] as const) {
    const isSaid = changes.some(change => change.kind === 'set' && change.name === `${name}_verified`)
    if (claims.get(name) !== before[name] && !isSaid) claims.delete(`${name}_verified`)
  }
  const ordered = standardClaims.flatMap(name => {
    const value = claims.get(name)
    return value === undefined ? [] : [[name, value] as const]
  })
  return Object.fromEntries(ordered)
}

function addressOf(value: ClaimValue | undefined): Address {
  return typeof value === 'object' ? value : {}
}

/** The claims in a column, which has what `readClaim` has read. */
export function parseUserClaims(stored: string): UserClaims {
  return JSON.parse(stored) as UserClaims
}
