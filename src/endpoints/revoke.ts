import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { callerOf, deviceCaller } from '../clients/caller.ts'
import { authenticateClient } from '../clients/client-auth.ts'
import { isAdmin } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import { endSession } from '../endings/end.ts'
import { OAuthError } from '../errors.ts'
import { logOf } from '../http/request-log.ts'
import { formOf, requireParameter, type Form } from '../protocol/form.ts'
import { personalTokenPrefix } from '../protocol/personal-token.ts'
import { formatUuid } from '../protocol/secrets.ts'
import { byClient, byNobody } from '../record/record.ts'
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
    if (isHolderAlone(request, form)) return endByHolder(ctx, request, requireParameter(form, 'token'))
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
    // A personal access token belongs to its holder alone: who shows it may end it.
    const isOwn = tokenType === 'personal_access_token' || (isHeld && session.client_id === client.id)
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

/** Whether a personal access token has come without any client: it is there for programs that are none. */
function isHolderAlone({ headers }: Pick<FastifyRequest, 'headers'>, form: Form): boolean {
  const names = ['client_id', 'client_secret', 'client_assertion']
  if (headers.authorization !== undefined || names.some(name => form.has(name))) return false
  return form.get('token')?.startsWith(personalTokenPrefix) === true
}

/**
 * Ends a personal access token for who has it: its owner's script, or a scanner that has found it somewhere.
 * One that is forged costs no database access.
 */
async function endByHolder(ctx: Context, request: FastifyRequest, token: string): Promise<object> {
  const log = logOf(request)
  const found = await findTokenSession(ctx, token)
  if (found.kind !== 'personal_access_token') {
    const reason = found.kind === 'none' ? found.reason : found.kind
    log.info({ event: 'nothing_revoked', reason }, 'nothing to revoke')
    return {}
  }
  const by = { ...byNobody(ctx, deviceCaller(request)), log }
  await endSession(by, found.session, { reason: 'client', tokenType: found.kind })
  return {}
}
