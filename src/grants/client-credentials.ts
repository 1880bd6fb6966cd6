import { spendProof } from '../clients/confirmation.ts'
import { OAuthError } from '../errors.ts'
import { claimsOfMachine } from '../sessions/claims.ts'
import { machineSession, never } from '../sessions/machine-session.ts'
import { resourcesOf, targetOf } from '../sessions/target.ts'
import type { Grant } from './grant.ts'

/**
 * RFC 6749 §4.4: a token for the client itself, without a refresh token. It belongs to the client's machine
 * session.
 */
export const clientCredentials: Grant = {
  rank: 'other',
  decide: async (ctx, { client, form, caller, confirmation }) => {
    if (client.auth_method === 'none') {
      throw new OAuthError(
        'unauthorized_client',
        'only a confidential client may use the client_credentials grant',
      )
    }
    const resources = await resourcesOf(ctx, client)
    const target = targetOf(ctx, { client, resources }, form, { scope: client.scope, resource: null })
    if (confirmation?.proof) await spendProof(ctx, confirmation.proof)
    const claims = await claimsOfMachine(ctx, target)
    const session = await machineSession(ctx, client, caller)
    return {
      target,
      subject: client.id,
      sessionId: session.id,
      authTime: session.auth_time,
      amr: '',
      claims,
      statusPosition: session.status_position,
      expiresAt: never,
    }
  },
}
