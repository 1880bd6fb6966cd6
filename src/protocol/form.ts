import { OAuthError } from '../errors.ts'

/**
 * The parameters of a form: no name twice, no empty value. A repeated `resource` is one value with spaces in
 * it.
 */
export type Form = ReadonlyMap<string, string>

/**
 * Far more than any grant has. A page has a field for each of the scopes of an API, and people tick as many
 * as they like. A body is at most 16 KiB anyway.
 */
const parametersMax = 1000

/**
 * RFC 8707 §2 and RFC 8693 §2.1 let these repeat. Their values are joined with spaces, which no URI has, so
 * that two resources look like one that does not exist: this server issues tokens for one resource at a time.
 */
const mayRepeat: ReadonlySet<string> = new Set(['resource', 'audience'])

/**
 * Parses an `application/x-www-form-urlencoded` body as RFC 6749 §3.2 and appendix B demand: a parameter that
 * is sent twice is refused, even if one of them is empty; one without a value counts as absent; unknown ones
 * are kept, and ignored.
 */
export function parseForm(text: string): Form {
  const { form, repeated } = readForm(text)
  if (repeated.length > 0) throw malformed('a parameter is sent more than once')
  return form
}

/** A form as it was sent, by somebody who can be answered whatever is wrong with it. */
export interface SentForm {
  /** With the first value of what is repeated. */
  readonly form: Form
  /** The parameters that are sent more than once. */
  readonly repeated: readonly string[]
}

/** The same, where a repeated parameter is the client's to be told of (RFC 6749 §4.1.2.1). */
export function readForm(text: string): SentForm {
  // The body's bytes have been read as UTF-8 already, and this is what becomes of those that are not.
  if (text.includes('\ufffd')) throw malformed('the parameters are not UTF-8')
  const pairs = text.split('&', parametersMax + 1)
  if (pairs.length > parametersMax) throw malformed('there are too many parameters')

  const form = new Map<string, string>()
  const repeated: string[] = []
  for (const pair of pairs) {
    if (pair === '') continue
    const equals = pair.indexOf('=')
    const name = decode(equals < 0 ? pair : pair.slice(0, equals))
    const value = equals < 0 ? '' : decode(pair.slice(equals + 1))
    const earlier = form.get(name)
    if (earlier !== undefined && !mayRepeat.has(name)) repeated.push(name)
    else form.set(name, earlier && value ? `${earlier} ${value}` : earlier || value)
  }
  for (const [name, value] of form) if (value === '') form.delete(name)
  return { form, repeated }
}

/** The parsed body of a request; refuses one that had none, or JSON. */
export function formOf(body: unknown): Form {
  if (body instanceof Map) return body
  if (typeof body === 'string') {
    throw new OAuthError(
      'invalid_request',
      'the body must be a form, not JSON: send the parameters as application/x-www-form-urlencoded',
      { status: 415 },
    )
  }
  throw malformed('the request has no body: send the parameters as application/x-www-form-urlencoded')
}

/** The value of a parameter that must be there, without control characters but the tab. */
export function requireParameter(form: Form, name: string): string {
  const value = form.get(name)
  if (value === undefined) throw malformed(`the parameter ${name} is missing`)
  // RFC 6749 appendix A.15 and A.16 leave these out; PostgreSQL cannot even store the first of them.
  if (!/^[\t\x20-\x7e\x80-\uffff]*$/.test(value))
    throw malformed(`the parameter ${name} has control characters`)
  return value
}

function decode(text: string): string {
  const decoded = decodeFormComponent(text)
  if (decoded === undefined)
    throw malformed('the parameters are not form-encoded UTF-8: a percent sequence is malformed')
  return decoded
}

/** Undoes the encoding of RFC 6749 appendix B; undefined where a `%` sequence is malformed or not UTF-8. */
export function decodeFormComponent(text: string): string | undefined {
  const spaced = text.includes('+') ? text.replaceAll('+', ' ') : text
  if (!spaced.includes('%')) return spaced
  try {
    return decodeURIComponent(spaced)
  } catch {
    return undefined // a URIError, which says nothing more
  }
}

const malformed = (description: string) => new OAuthError('invalid_request', description)
