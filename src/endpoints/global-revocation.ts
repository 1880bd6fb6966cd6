import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { callerOf } from '../clients/caller.ts'
import type { Context } from '../context.ts'
import { endSessionsOfUser } from '../endings/end.ts'
import { OAuthError } from '../errors.ts'
import { logOf } from '../http/request-log.ts'
import { parseUuid } from '../protocol/secrets.ts'
import { readSubjectIdentifier, type SubjectIdentifier } from '../protocol/subject-identifier.ts'
import { byClient } from '../record/record.ts'
import { authenticateAdmin } from '../sessions/bearer-auth.ts'

/** So many sessions get their end before the answer; hardly a user has more. */
const stepsBeforeAnswer = 5

/**
 * POST /global-token-revocation (draft-parecki-oauth-global-token-revocation): ends all of a user's sessions.
 * The answer comes when that is durable and nothing can be done with them any more. Not for browsers, so
 * without CORS.
 */
export function globalRevocationEndpoint(app: FastifyInstance, ctx: Context): void {
  const answer = async (request: FastifyRequest, reply: FastifyReply) => {
    const client = await authenticateAdmin(ctx, request.headers.authorization)
    const sub = subOf(ctx, readSubjectIdentifier(request.body))
    const id = sub === undefined ? undefined : parseUuid(sub)
    const by = byClient(ctx, client.id, callerOf(request, client), logOf(request))
    const ended =
      id && (await endSessionsOfUser(by, id, { reason: 'admin' }, { stepsMax: stepsBeforeAnswer }))
    if (!ended) throw new OAuthError('invalid_request', 'there is no such user', { status: 404 })
    return reply.code(204).send()
  }
  app.post('/global-token-revocation', { config: { cors: false } }, (request, reply) =>
    ctx.load.admission.admit('refresh', () => answer(request, reply)),
  )
}

/** The `sub` that is meant, if it is one of this issuer. */
function subOf({ config }: Context, subject: SubjectIdentifier): string | undefined {
  if (subject.format === 'opaque') return subject.id
  return subject.iss === config.issuer ? subject.sub : undefined
}
