import type { FastifyInstance } from 'fastify'
import type { Context } from '../../context.ts'
import { OAuthError } from '../../errors.ts'
import { malformed, readObject, streamIdOf } from '../../protocol/stream-configuration.ts'
import { verificationSeconds } from '../../streams/document.ts'
import { requestVerification } from '../../streams/streams.ts'
import { addReceiverRoute } from './receiver.ts'

const stateLength = 1000

/** The verification endpoint (SSF 1.0 §8.1.4.2). */
export function streamVerificationEndpoint(app: FastifyInstance, ctx: Context): void {
  const route = { method: 'POST', url: '/ssf/verify', scope: 'ssf.manage' } as const
  addReceiverRoute(app, ctx, route, async call => {
    const { stream_id, state } = readObject(call.request.body)
    const stream = await call.ownStream(streamIdOf(stream_id))
    if (state !== undefined && !isState(state))
      throw malformed(`state must be a text of at most ${stateLength} characters`)
    if (stream.status === 'disabled') throw malformed('the stream is disabled: nothing is delivered to it')
    if (await requestVerification(ctx, stream, state)) return call.reply.code(204).send()
    throw new OAuthError('invalid_request', 'a stream is verified once a minute', {
      status: 429,
      retryAfter: verificationSeconds,
    })
  })
}

const isState = (value: unknown): value is string => typeof value === 'string' && value.length <= stateLength
