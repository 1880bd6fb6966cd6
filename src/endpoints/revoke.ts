import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { callerOf } from '../clients/caller.ts'
import { authenticateClient } from '../clients/client-auth.ts'
import { isAdmin } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import { endSession } from '../endings/end.ts'
import { OAuthError } from '../errors.ts'
import { logOf } from '../http/request-log.ts'
import { formOf, requireParameter } from '../protocol/form.ts'
import { formatUuid } from '../protocol/secrets.ts'
import { byClient } from '../record/record.ts'
import { findTokenSession, isHolder } from '../sessions/token-session.ts'
import { checkOrigin } from './origins.ts'

/**
 * POST /revoke (RFC 7009): either token, of whatever generation, expired or not, ends its session. The answer
 * is `{}` whether there was anything to revoke or not: RFC 7009 §2.2 wants 200 for a token that is unknown,
 * and does not say what to answer for another client's, which stays good. It comes after the revocation is
 * durable. A client that has exchanged a token is not to end the session of another: it is told so
 * (RFC 7009 §2.2.1).
 */
export function revokeEndpoint(app: FastifyInstance, ctx: Context): void {
  const answer = async (request: FastifyRequest, reply: FastifyReply) => {
    const form = formOf(request.body)
    const client = await authenticateClient(ctx, request, form)
    checkOrigin(ctx, client, request, reply)
    const log = logOf(request)
    const found = await findTokenSession(ctx, requireParameter(form, 'token'), { mayHaveExpired: true })
    if (found.kind === 'none') {
      log.info({ event: 'nothing_revoked', by: client.id, reason: found.reason }, 'nothing to revoke')
      return {}
    }

    const { session, kind: tokenType } = found
    const isHeld = isHolder(client, found)
    const isOwn = isHeld && session.client_id === client.id
    if (isHeld && !isOwn && !isAdmin(client)) {
      throw new OAuthError(
        'unsupported_token_type',
        'a token that was exchanged is not revoked by itself: it ends with the session of its subject',
      )
    }
    if (!isOwn && !isAdmin(client)) {
      const facts = {
        sid: formatUuid(session.id),
        by: client.id,
        client_id: session.client_id,
        ...(session.user_id && { sub: formatUuid(session.user_id) }),
        token_type: tokenType,
      }
      log.warn({ event: 'nothing_revoked', ...facts }, "the token is another client's and stays good")
      return {}
    }
    const by = byClient(ctx, client.id, callerOf(request, client), log)
    await endSession(by, session, { reason: isOwn ? 'client' : 'admin', tokenType })
    return {}
  }
  app.post('/revoke', (request, reply) => ctx.load.admission.admit('refresh', () => answer(request, reply)))
}
