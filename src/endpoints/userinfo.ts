import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { proofUrls } from '../clients/confirmation.ts'
import type { Context } from '../context.ts'
import type { Form } from '../protocol/form.ts'
import { userinfoOf } from '../sessions/claims.ts'
import { clientAlg } from '../clients/client-alg.ts'
import { authenticateToken, invalidToken } from '../sessions/sent-token.ts'
import { checkOrigin } from './origins.ts'

/**
 * GET and POST /userinfo (OpenID Connect Core §5.3): the claims of the user whose access token it is, if that
 * has the scope `openid`. JSON, or a signed JWT for a client that has chosen an algorithm for it.
 */
export function userinfoEndpoint(app: FastifyInstance, ctx: Context): void {
  const urls = proofUrls(ctx.config, '/userinfo')
  const answer = async (request: FastifyRequest, reply: FastifyReply) => {
    const { method, headers, body } = request
    const form: Form | undefined = body instanceof Map ? body : undefined
    const sent = { method, urls: () => urls, headers, form }
    const { session, scope, scheme } = await authenticateToken(ctx, sent, 'openid')
    const client = await ctx.clients.registry.findClient(session.client_id)
    const claims = client && (await userinfoOf(ctx, client, session, scope))
    if (!claims) throw invalidToken(scheme, 'its client or its user is gone')
    checkOrigin(ctx, client, request, reply)
    if (client.userinfo_alg === null) return claims
    // RFC 8725 §3.12: without `exp`, so that it is no ID token.
    const { issuer: iss } = ctx.config
    const signed = { ...claims, iss, aud: client.id, iat: ctx.clock.now() }
    const jwt = await ctx.keys.sign('JWT', clientAlg(ctx, client, client.userinfo_alg), signed)
    return reply.type('application/jwt').send(jwt)
  }
  const admitted = (request: FastifyRequest, reply: FastifyReply) =>
    ctx.load.admission.admit('other', () => answer(request, reply))
  app.get('/userinfo', admitted)
  app.post('/userinfo', admitted)
}
