import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { authenticateClient } from '../clients/client-auth.ts'
import { proofUrls } from '../clients/confirmation.ts'
import { isAdmin } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import { OAuthError } from '../errors.ts'
import { openEventStream } from '../http/event-stream.ts'
import type { NewListener } from '../push/listeners.ts'
import { authenticateMachine, hasEnded } from '../sessions/sent-token.ts'

/** How long a stream lasts that was opened with a secret: then its client shows that it still has it. */
const secretSeconds = 3600

/**
 * GET /events: server-sent events (HTML Standard §9.2) of what has ended, for the client of a resource
 * server, which shows an access token of its own (RFC 6750) or its secret. It is told what concerns tokens
 * for its resources, and goes on from `Last-Event-ID`. Not for browsers, so without CORS.
 */
export function eventsEndpoint(app: FastifyInstance, ctx: Context): void {
  const { admission } = ctx.load
  const urls = proofUrls(ctx.config, '/events')
  const answer = async (request: FastifyRequest, reply: FastifyReply) => {
    const caller = await authenticateCaller(ctx, request, urls)
    if (caller.client.introspects === '' && !isAdmin(caller.client)) {
      throw new OAuthError(
        'insufficient_scope',
        'events are for the client of a resource server: `mintmark client update ID --resource-server URI` makes it one',
      )
    }
    const [lastEventId] = [request.headers['last-event-id']].flat()
    await ctx.listeners.add({ ...caller, lastEventId }, () => openEventStream(reply))
    return reply
  }
  app.get('/events', { config: { cors: false }, exposeHeadRoute: false }, (request, reply) =>
    // Its place is counted until the stream has begun.
    admission.admit('other', () => answer(request, reply)),
  )
  // Streams that go on would keep the server from closing.
  app.addHook('preClose', async () => ctx.listeners.close())
}

type Caller = Omit<NewListener, 'lastEventId'>

async function authenticateCaller(
  ctx: Context,
  request: FastifyRequest,
  urls: readonly string[],
): Promise<Caller> {
  const { headers } = request
  if (/^basic /i.test(headers.authorization ?? '')) {
    const client = await authenticateClient(ctx, request, new Map())
    // Anybody could claim to be a public one.
    if (client.auth_method === 'none')
      throw new OAuthError('invalid_client', 'events are for clients that authenticate')
    return { client, session: undefined, seconds: secretSeconds }
  }
  const { client, session, claims } = await authenticateMachine(ctx, request, () => urls)
  const mayGoOn = (now: typeof session) => !hasEnded(now, ctx.clock.now())
  return { client, session: { id: session.id, mayGoOn }, seconds: Number(claims['exp']) - ctx.clock.now() }
}
