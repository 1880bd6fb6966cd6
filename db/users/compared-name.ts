import { domainToASCII } from 'node:url'

/** A name of a user, as `user_names` has it. */
export interface ComparedName {
  /** As names are compared. */
  readonly name: string
  readonly kind: 'username' | 'mail'
}

/**
 * The form in which names of users are compared, the same for all that people take for one name: lower case
 * as in RFC 8265 §3.3 (UsernameCaseMapped), but normal form KC in the place of width mapping and form C. So
 * `ﬁ` is `fi` too, which the profile does not map but refuses; old names have it. A domain that is not ASCII
 * has the one form of DNS (RFC 5891 §4.4). A name in this form already stays as it is.
 *
 * It is here because the column holds it: another mapping takes a migration that fills the table anew.
 */
export function comparedName(name: string): string {
  const mapped = lower(name, 'NFKC')
  // One sign may stand for a whole phrase, and an index takes no text of any length.
  return withDomain(mapped.length <= lengthMax ? mapped : lower(name, 'NFC'))
}

/** In UTF-16 units: three bytes each at the most, where an index of PostgreSQL takes 2704. */
const lengthMax = 800

function lower(text: string, form: 'NFC' | 'NFKC'): string {
  return text.normalize(form).toLowerCase().normalize(form)
}

function withDomain(name: string): string {
  const [, local, domain] = /^(.+@)([\p{L}\p{M}\p{N}.-]+)$/su.exec(name) ?? []
  if (local === undefined || domain === undefined || !/[^\0-\x7f]|xn--/.test(domain)) return name
  const ascii = domainToASCII(domain)
  return ascii === '' ? name : local + ascii
}

/** The names by which a user is found: its user name, and its mail address once that is verified. */
export function comparedNamesOf({
  username,
  claims,
}: {
  readonly username: string
  readonly claims: string
}): readonly ComparedName[] {
  const own: ComparedName = { name: comparedName(username), kind: 'username' }
  const address = verifiedMail(claims)
  const mail = address === undefined ? own.name : comparedName(address)
  return mail === own.name ? [own] : [own, { name: mail, kind: 'mail' }]
}

/** The mail address that was verified to be its user's; undefined for none. */
export function verifiedMail(claims: string): string | undefined {
  // Most users of an installation may have none, and there may be a million.
  if (!claims.includes('email_verified')) return undefined
  const { email, email_verified: isVerified } = parse(claims)
  return typeof email === 'string' && isVerified === true ? email : undefined
}

/** `doctor` finds what cannot be read. */
function parse(claims: string): Readonly<Record<string, unknown>> {
  try {
    return Object(JSON.parse(claims))
  } catch {
    return {} // then no address is known
  }
}
