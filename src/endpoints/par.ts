import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { acceptRequest, pushedSeconds, pushRequest } from '../authorization/requests.ts'
import { authenticateClient } from '../clients/client-auth.ts'
import { checkProfile, spendProof } from '../clients/confirmation.ts'
import { requireRequester } from '../clients/open-clients.ts'
import type { Context } from '../context.ts'
import { OAuthError } from '../errors.ts'
import { logOf } from '../http/request-log.ts'
import { addressProblems } from '../protocol/authorization-request.ts'
import { formOf } from '../protocol/form.ts'
import type { RequestVerdict } from '../protocol/request-verdict.ts'
import { networkOf } from '../values/addresses.ts'
import { checkOrigin } from './origins.ts'
import { proofReader } from './proofs.ts'

/**
 * POST /par (RFC 9126): judges an authorization request before anybody is sent here with it. The client
 * authenticates as at /token. An accepted request is sealed into the `request_uri`, so nothing is stored. A
 * DPoP proof binds the code to its key (RFC 9449 §10.1).
 */
export function parEndpoint(app: FastifyInstance, ctx: Context): void {
  const proofs = proofReader(ctx, '/par')
  const answer = async (request: FastifyRequest, reply: FastifyReply) => {
    const form = formOf(request.body)
    const proof = proofs.read(request, reply)
    const client = await authenticateClient(ctx, request, form, id => requireRequester(ctx, id))
    checkOrigin(ctx, client, request, reply)
    if (proof) checkProfile(client, proof)

    const arrival = { isPushed: true, proofThumbprint: proof?.thumbprint, log: logOf(request) }
    const accepted = requireAccepted(await acceptRequest(ctx, client, form, arrival))
    // Anybody can be a public client here, and would have a row for each proof. One that comes again is of
    // use to the owner of its key alone.
    if (proof && client.auth_method !== 'none') await spendProof(ctx, proof)
    return reply.code(201).send({ request_uri: pushRequest(ctx, accepted), expires_in: pushedSeconds })
  }
  app.post('/par', (request, reply) =>
    ctx.load.admission.admit('other', () => answer(request, reply), networkOf(request.ip)),
  )
}

/** The answers to others are those of /token, as the client has asked itself (RFC 9126 §2.3). */
export function requireAccepted(verdict: RequestVerdict) {
  if (verdict.kind === 'accepted') return verdict.request
  if (verdict.kind === 'refused') throw new OAuthError(verdict.error, verdict.description)
  const { problem } = verdict
  const code = problem === 'grant_missing' ? 'unauthorized_client' : 'invalid_request'
  throw new OAuthError(code, addressProblems[problem])
}
