import { OAuthError } from '../errors.ts'

/**
 * The scopes of a `scope` parameter (RFC 6749 §3.3): case-sensitive, separated by single spaces, each once.
 * Refuses what the grammar does not allow with `invalid_scope`.
 */
export function parseScope(text: string): readonly string[] {
  const scopes = text.split(' ')
  if (!scopes.every(isScopeToken)) {
    throw new OAuthError(
      'invalid_scope',
      'the scope is malformed: it takes visible ASCII characters without quotes and backslashes, separated by single spaces',
    )
  }
  return [...new Set(scopes)]
}

/** `scope-token` of RFC 6749 §3.3. */
export const scopeToken = /^[\x21\x23-\x5b\x5d-\x7e]+$/

/** Whether a text is one scope. */
export function isScopeToken(text: string): boolean {
  return scopeToken.test(text)
}

/** The answer to another text. */
export const scopeSentence = 'A scope is visible ASCII without quotes and backslashes.'
