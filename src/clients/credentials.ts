import { OAuthError } from '../errors.ts'
import { readAssertion, type UnverifiedAssertion } from '../keys/proofs/assertion.ts'
import { decodeFormComponent, type Form } from '../protocol/form.ts'

/** The credentials that a request shows, by which nothing is proved yet. */
export interface Credentials {
  readonly id: string
  readonly secret: string | undefined
  readonly assertion?: UnverifiedAssertion
}

/** Reads them from the header and the form (RFC 6749 §2.3), of which one may have them. */
export function readCredentials(authorization: string | undefined, form: Form): Credentials {
  const id = form.get('client_id')
  const secret = form.get('client_secret')
  if (form.has('client_assertion') || form.has('client_assertion_type')) {
    return readAssertionCredentials(authorization, form)
  }
  if (authorization === undefined) {
    if (id === undefined) {
      throw new OAuthError(
        'invalid_client',
        'the client is missing: send client_id, or HTTP Basic credentials',
      )
    }
    return { id, secret }
  }

  const basic = readBasic(authorization)
  if (secret !== undefined) {
    throw new OAuthError(
      'invalid_request',
      'client credentials are sent in two ways: use the header or the body',
    )
  }
  if (id !== undefined && id !== basic.id) {
    throw new OAuthError('invalid_request', 'the client_id differs from that in the Authorization header')
  }
  return basic
}

const assertionType = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

/**
 * RFC 7521 §4.2. With an assertion in it, a request that cannot be authenticated is always `invalid_client`
 * (§4.2.1).
 */
function readAssertionCredentials(authorization: string | undefined, form: Form): Credentials {
  if (form.get('client_assertion_type') !== assertionType) {
    throw new OAuthError('invalid_client', `the client_assertion_type must be ${assertionType}`)
  }
  if (authorization !== undefined || form.has('client_secret')) {
    throw new OAuthError('invalid_client', 'client credentials are sent in two ways: use the assertion alone')
  }
  const assertion = readAssertion(form.get('client_assertion') ?? '')
  if (!assertion) {
    throw new OAuthError('invalid_client', 'the client_assertion is no JWT with the client_id as its sub')
  }
  const id = form.get('client_id') ?? assertion.subject
  // That of another issuer names the client in its own way.
  if (id !== assertion.subject && assertion.issuer === assertion.subject) {
    throw new OAuthError('invalid_client', 'the client_id differs from the sub of the client_assertion')
  }
  return { id, secret: undefined, assertion }
}

/**
 * RFC 7617 §2, with both halves form-encoded (RFC 6749 §2.3.1). An empty secret is none (RFC 6749 §2.3.1).
 */
function readBasic(authorization: string): Credentials {
  const [, scheme, encoded] = /^([^ ]+) +([A-Za-z0-9+/]+={0,2})$/.exec(authorization) ?? []
  if (scheme?.toLowerCase() !== 'basic' || encoded === undefined) {
    throw new OAuthError('invalid_client', 'the Authorization header does not hold HTTP Basic credentials')
  }
  const text = Buffer.from(encoded, 'base64').toString()
  const colon = text.indexOf(':')
  const id = decodeFormComponent(text.slice(0, Math.max(colon, 0)))
  const secret = decodeFormComponent(text.slice(colon + 1))
  if (colon < 0 || id === undefined || secret === undefined) {
    throw new OAuthError(
      'invalid_client',
      'the Basic credentials are malformed: form-encode client_id and client_secret, join them with a colon, base64',
    )
  }
  return { id, secret: secret === '' ? undefined : secret }
}
