import { OAuthError } from '../errors.ts'

/** Whom a caller means (RFC 9493), in the two formats that this server knows. */
export type SubjectIdentifier =
  | { readonly format: 'iss_sub'; readonly iss: string; readonly sub: string }
  /** The `sub` of its tokens. */
  | { readonly format: 'opaque'; readonly id: string }

/** The members that a format has: all of them, and no others (RFC 9493 §3). */
const members: ReadonlyMap<string, readonly string[]> = new Map([
  ['iss_sub', ['format', 'iss', 'sub']],
  ['opaque', ['format', 'id']],
])

/** Reads the JSON text `{"sub_id":{"format":…}}` (draft-parecki-oauth-global-token-revocation §3.1). */
export function readSubjectIdentifier(body: unknown): SubjectIdentifier {
  if (typeof body !== 'string') {
    throw new OAuthError('invalid_request', 'the body must be JSON: application/json', { status: 415 })
  }
  const subject = fieldsOf(fieldsOf(parse(body)).get('sub_id'))
  const format = subject.get('format')
  const names = typeof format === 'string' ? members.get(format) : undefined
  if (!names) throw malformed('the format of sub_id must be iss_sub or opaque')
  const isWhole = names.every(name => typeof subject.get(name) === 'string' && subject.get(name) !== '')
  if (!isWhole || subject.size !== names.length) {
    throw malformed(
      'sub_id must have the members of its format, which are not empty, and no others (RFC 9493)',
    )
  }
  const text = (name: string) => String(subject.get(name))
  return format === 'opaque'
    ? { format, id: text('id') }
    : { format: 'iss_sub', iss: text('iss'), sub: text('sub') }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw malformed('the body is not JSON') // where it breaks off would tell no more
  }
}

function fieldsOf(value: unknown): ReadonlyMap<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return new Map(Object.entries(value))
  throw malformed('the body must be an object with a member sub_id, which is an object too')
}

const malformed = (description: string) => new OAuthError('invalid_request', description)
