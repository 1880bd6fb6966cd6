import { OAuthError } from '../errors.ts'
import type { Grant } from './grant.ts'
import { machineToken } from './machine-token.ts'

/** RFC 6749 §4.4: a token for the client itself. */
export const clientCredentials: Grant = {
  rank: 'other',
  decide: async (ctx, request) => {
    if (request.client.auth_method === 'none') {
      throw new OAuthError(
        'unauthorized_client',
        'only a confidential client may use the client_credentials grant',
      )
    }
    return machineToken(ctx, request)
  },
}
