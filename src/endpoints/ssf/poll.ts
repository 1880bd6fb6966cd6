import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Context } from '../../context.ts'
import { readPollRequest } from '../../protocol/poll-request.ts'
import { readObject } from '../../protocol/stream-configuration.ts'
import { parseUuid } from '../../protocol/secrets.ts'
import { noStream, receiverOf } from './receiver.ts'

/** POST /ssf/poll/{stream_id} (RFC 8936): a receiver fetches its events, and says what it has got. */
export function pollEndpoint(app: FastifyInstance, ctx: Context): void {
  const { admission } = ctx.load
  // A receiver that waits has no place among requests, or those who wait would keep others out.
  const admit = <T>(work: () => Promise<T>) => admission.admit('other', work)
  const answer = async (request: FastifyRequest<{ Params: { id: string } }>, reply: FastifyReply) => {
    const { by, stream, client, asked } = await admit(async () => {
      const call = await receiverOf(ctx, { request, reply }, 'ssf.read')
      const stream = await call.ownStream(parseUuid(request.params.id))
      if (stream.method !== 'poll') throw noStream()
      return { ...call, stream, asked: readPollRequest(readObject(request.body)) }
    })
    const gone = new AbortController()
    reply.raw.once('close', () => gone.abort())
    return ctx.polls.answer({ by, found: { stream, client }, asked, isGone: gone.signal, admit })
  }
  app.post<{ Params: { id: string } }>('/ssf/poll/:id', { config: { cors: false } }, answer)
  // Those who wait would keep the server from closing.
  app.addHook('preClose', async () => ctx.polls.close())
}
