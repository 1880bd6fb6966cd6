import type { Grant } from './grant.ts'
import { machineToken } from './machine-token.ts'

/** RFC 7523 §2.1: a token for the client that a trusted issuer names, within what the client was granted. */
export const jwtBearerGrant: Grant = {
  rank: 'other',
  decide: (ctx, request) => {
    const { proof } = request
    if (!proof) throw new Error('unreachable: the endpoint reads the assertion of this grant')
    return machineToken(ctx, request, proof.spend)
  },
}
