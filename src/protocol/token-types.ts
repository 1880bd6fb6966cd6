import { OAuthError } from '../errors.ts'
import type { Form } from './form.ts'

/** RFC 8693 §3. Access tokens of this server are JWTs, so either name is right. */
const tokenTypes: readonly string[] = [
  'urn:ietf:params:oauth:token-type:access_token',
  'urn:ietf:params:oauth:token-type:jwt',
]

/**
 * The `issued_token_type` of an exchange, by its parameters (RFC 8693 §2.1): the one that is asked for, or an
 * access token. Throws `invalid_request` where a type is missing, is not one of ours, or has no token.
 */
export function issuedTokenType(form: Form): string {
  requireType(form, 'subject_token', 'subject_token_type')
  if (form.has('actor_token')) requireType(form, 'actor_token', 'actor_token_type')
  else if (form.has('actor_token_type'))
    throw new OAuthError('invalid_request', 'there is an actor_token_type, but no actor_token')
  const requested = form.get('requested_token_type') ?? tokenTypes[0]
  if (requested !== undefined && tokenTypes.includes(requested)) return requested
  throw unknownType('requested_token_type')
}

function requireType(form: Form, token: string, type: string): void {
  for (const name of [token, type])
    if (!form.has(name)) throw new OAuthError('invalid_request', `the parameter ${name} is missing`)
  if (!tokenTypes.includes(form.get(type) ?? '')) throw unknownType(type)
}

const unknownType = (name: string) =>
  new OAuthError('invalid_request', `the ${name} must be one of ${tokenTypes.join(', ')}`)
