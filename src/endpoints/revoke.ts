import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { revokeSession } from '../../db/sessions/sessions.ts'
import { audited } from '../../db/writer.ts'
import { callerOf } from '../clients/caller.ts'
import { authenticateClient } from '../clients/client-auth.ts'
import type { Context } from '../context.ts'
import { formOf, required } from '../protocol/form.ts'
import { formatUuid } from '../protocol/secrets.ts'
import { requestEntry } from '../record/audit-trail.ts'
import { logRevocation } from '../record/log-revocation.ts'
import { findTokenSession, isAdmin } from '../sessions/token-session.ts'
import { checkOrigin } from './origins.ts'

/**
 * POST /revoke (RFC 7009): either token, of whatever generation, expired or not, ends its session. The answer is `{}` whether there was
 * anything to revoke or not: RFC 7009 §2.2 wants 200 for a token that is unknown, and does not say what to answer for
 * another client's, which stays good. It comes after the revocation is durable.
 */
export function revokeEndpoint(app: FastifyInstance, ctx: Context): void {
  const answer = async (request: FastifyRequest, reply: FastifyReply) => {
    const form = formOf(request.body)
    const client = await authenticateClient(ctx, request, form)
    checkOrigin(ctx, client, request, reply)
    const found = await findTokenSession(ctx, required(form, 'token'), { mayHaveExpired: true })
    if (found.kind === 'none') {
      request.log.info({ event: 'nothing_revoked', by: client.id, reason: found.reason }, 'nothing to revoke')
      return {}
    }

    const { session } = found
    const sid = formatUuid(session.id)
    const facts = {
      by: client.id,
      client_id: session.client_id,
      ...(session.user_id && { sub: formatUuid(session.user_id) }),
      token_type: found.kind,
    }
    const isOwn = session.client_id === client.id
    if (!isOwn && !isAdmin(client)) {
      request.log.warn(
        { event: 'nothing_revoked', sid, ...facts },
        "the token is another client's and stays good",
      )
      return {}
    }
    const reason = isOwn ? 'client' : 'admin'
    const at = ctx.clock.now()
    const entry = requestEntry(client, callerOf(request, client), {
      at,
      event: 'session_revoked',
      userId: session.user_id,
      sessionId: session.id,
      clientId: session.client_id,
      detail: { reason },
    })
    if (await revokeSession(audited(ctx.db, entry), session.id, at, reason)) {
      ctx.counts.revocations[reason]++
      logRevocation(request.log, { event: 'session_revoked', sid }, { reason, at, ...facts })
    }
    return {}
  }
  app.post('/revoke', (request, reply) => ctx.load.pressure.admit('refresh', () => answer(request, reply)))
}
