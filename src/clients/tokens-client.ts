import type { NewClient } from '../../db/clients/clients.ts'
import { plainClientRow } from './registration.ts'

/** Of personal access tokens. No other client can have it. */
export const tokensClientId = 'mintmark-tokens'

/**
 * Personal access tokens as a client: the session of each is its, so whatever ends the sessions of a client
 * ends them. It may do nothing at any endpoint.
 */
export function tokensClient(now: number): NewClient {
  return plainClientRow({
    id: tokensClientId,
    created_at: now,
    secret_hash: null,
    client_name: 'Personal access tokens',
    grant_types: '',
    // A token stays under the root key that it was made with.
    refresh_policy: 'reuse',
  })
}
