import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { findUserById, raiseUserEpoch } from '../../db/users/users.ts'
import { audited } from '../../db/writer.ts'
import { authenticateAdmin } from '../clients/bearer-auth.ts'
import { callerOf } from '../clients/caller.ts'
import type { Context } from '../context.ts'
import { finishEnding } from '../endings/finish.ts'
import { OAuthError } from '../errors.ts'
import { parseUuid } from '../protocol/secrets.ts'
import { readSubjectIdentifier, type SubjectIdentifier } from '../protocol/subject-identifier.ts'
import { requestEntry } from '../record/audit-trail.ts'
import { logRevocation } from '../record/log-revocation.ts'

/** So many sessions get their end before the answer; hardly a user has more. */
const stepsBeforeAnswer = 5

/**
 * POST /global-token-revocation (draft-parecki-oauth-global-token-revocation): ends all of a user's sessions. The answer
 * comes when that is durable and nothing can be done with them any more. Not for browsers, hence without CORS.
 */
export function globalRevocationEndpoint(app: FastifyInstance, ctx: Context): void {
  const answer = async (request: FastifyRequest, reply: FastifyReply) => {
    const client = await authenticateAdmin(ctx, request.headers.authorization)
    const { db, clock } = ctx
    const sub = subOf(ctx, readSubjectIdentifier(request.body))
    const id = sub === undefined ? undefined : parseUuid(sub)
    const entry = requestEntry(client, callerOf(request, client), {
      at: clock.now(),
      event: 'user_revoked',
      userId: id,
      clientId: undefined,
      detail: { reason: 'admin' },
    })
    const ending =
      id &&
      (await findUserById(db, id)) &&
      (await raiseUserEpoch(audited(db, entry), id, { reason: 'admin', now: clock.now() }))
    if (!ending || sub === undefined) {
      throw new OAuthError('invalid_request', 'there is no such user', { status: 404 })
    }
    ctx.counts.revocations.admin++
    logRevocation(
      request.log,
      { event: 'user_revoked', sub, epoch: ending.epoch },
      { reason: ending.reason, at: ending.ended_at, by: client.id },
    )
    await finishEnding(db, ending, { clock, stepsMax: stepsBeforeAnswer })
    return reply.code(204).send()
  }
  app.post('/global-token-revocation', { config: { cors: false } }, (request, reply) =>
    ctx.load.pressure.admit('refresh', () => answer(request, reply)),
  )
}

/** The `sub` that is meant, if it is one of this issuer. */
function subOf({ config }: Context, subject: SubjectIdentifier): string | undefined {
  if (subject.format === 'opaque') return subject.id
  return subject.iss === config.issuer ? subject.sub : undefined
}
