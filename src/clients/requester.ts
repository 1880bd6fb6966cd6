import { OAuthError } from '../errors.ts'
import { readAssertion } from '../keys/proofs/assertion.ts'
import { requireParameter, type Form } from '../protocol/form.ts'
import { jwtBearer } from '../protocol/grant-types.ts'
import type { IncomingRequest } from './caller.ts'
import type { ClientAuthContext } from './auth-context.ts'
import { authenticateClient } from './client-auth.ts'
import { issuerOf, provenByIssuer, type ProvenByIssuer } from './issued-assertions.ts'
import type { Client } from './registry.ts'

/** Who asks for a token. */
export interface Requester {
  readonly client: Client
  /** What a trusted issuer says of the client, where that is the grant. */
  readonly proof?: ProvenByIssuer
}

/**
 * The client that asks for a token. Where its grant is an assertion (RFC 7523 §2.1), that says who it is;
 * credentials that come along are checked as ever, and must be of the same client (§3.1).
 */
export async function requesterOf(
  ctx: ClientAuthContext,
  request: IncomingRequest,
  form: Form,
): Promise<Requester> {
  if (form.get('grant_type') !== jwtBearer) return { client: await authenticateClient(ctx, request, form) }
  const hasCredentials =
    request.headers.authorization !== undefined || credentials.some(name => form.has(name))
  const client = hasCredentials ? await authenticateClient(ctx, request, form) : undefined
  const assertion = readAssertion(requireParameter(form, 'assertion'))
  const issuer = assertion && (await issuerOf(ctx, assertion))
  if (!assertion || !issuer)
    throw new OAuthError(
      'invalid_grant',
      'the assertion is no JWT with a sub, or its iss is no issuer that is trusted',
    )
  const issued = { issuer, assertion, clientId: client?.id ?? form.get('client_id') }
  const proof = await provenByIssuer(ctx, request, issued, 'invalid_grant')
  return { client: proof.client, proof }
}

const credentials = ['client_secret', 'client_assertion', 'client_assertion_type']
