import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { callerOf } from '../clients/caller.ts'
import { confirmationOf } from '../clients/confirmation.ts'
import { requesterOf } from '../clients/requester.ts'
import type { Context } from '../context.ts'
import { isRefusedUnheard, OAuthError } from '../errors.ts'
import { grants } from '../grants/grants.ts'
import type { Rank } from '../load/admission.ts'
import { formOf, requireParameter } from '../protocol/form.ts'
import { isGrantType } from '../protocol/grant-types.ts'
import { countOne, refusalOf } from '../record/counts.ts'
import { networkOf } from '../values/addresses.ts'
import { itemsOf } from '../values/list.ts'
import { checkOrigin } from './origins.ts'
import { proofReader } from './proofs.ts'
import { tokenResponse } from './token-response.ts'

/** POST /token (RFC 6749 §3.2): the only place that issues tokens. */
export function tokenEndpoint(app: FastifyInstance, ctx: Context): void {
  const proofs = proofReader(ctx, '/token')
  const answer = async (request: FastifyRequest, reply: FastifyReply, call: Call) => {
    const form = formOf(request.body)
    const dpop = proofs.read(request, reply)
    const { client, proof } = await requesterOf(ctx, request, form)
    if (client.dpop_bound === 1) proofs.offerNonce(reply)
    call.clientId = client.id
    checkOrigin(ctx, client, request, reply)

    const grantType = requireParameter(form, 'grant_type')
    if (!isGrantType(grantType))
      throw new OAuthError('unsupported_grant_type', 'the grant type is not one of this server')
    call.grantType = grantType
    if (!itemsOf(client.grant_types).includes(grantType)) {
      throw new OAuthError('unauthorized_client', 'the client has not been given this grant type')
    }
    const confirmation = confirmationOf(client, request.headers, dpop)
    const tokenRequest = { client, form, caller: callerOf(request, client), confirmation, proof }
    return tokenResponse(ctx, tokenRequest, await grants[grantType].decide(ctx, tokenRequest))
  }

  app.post('/token', async (request, reply) => {
    const call: Call = { clientId: '', grantType: '' }
    const rank = rankOf(request.body)
    // A client that can make refreshes has never been a stranger.
    const source = rank === 'refresh' ? undefined : networkOf(request.ip)
    try {
      const response = await ctx.load.admission.admit(rank, () => answer(request, reply, call), source)
      ctx.counts.ofGrant(call.clientId, call.grantType).granted++
      return response
    } catch (error) {
      countOne(ctx.counts.ofGrant(call.clientId, call.grantType).refused, refusalOf(error))
      // Not while it is under way: a request that waits here takes no other's place.
      if (rank === 'log_in' && isRefusedUnheard(error)) await ctx.load.delayRefusal()
      throw error
    }
  })
}

function rankOf(body: unknown): Rank {
  const grantType: unknown = body instanceof Map ? body.get('grant_type') : undefined
  return typeof grantType === 'string' && isGrantType(grantType) ? grants[grantType].rank : 'other'
}

/** The facts of a request by the time it is counted. */
interface Call {
  clientId: string
  grantType: string
}
