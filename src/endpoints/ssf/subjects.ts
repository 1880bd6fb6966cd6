import type { FastifyInstance } from 'fastify'
import type { Context } from '../../context.ts'
import { OAuthError } from '../../errors.ts'
import { parseUuid } from '../../protocol/secrets.ts'
import { malformed, readObject, streamIdOf } from '../../protocol/stream-configuration.ts'
import { setSubjectOf, subjectsMax } from '../../streams/streams.ts'
import { isObject } from '../../values/json.ts'
import { addReceiverRoute, noStream, type ReceiverCall } from './receiver.ts'

/**
 * The endpoints that add subjects to a stream, and remove them (SSF 1.0 §8.1.3). Whether there is such a user
 * is not looked at, so that no receiver learns it (§9.1).
 */
export function streamSubjectEndpoints(app: FastifyInstance, ctx: Context): void {
  const set = async (call: ReceiverCall, isWanted: boolean) => {
    const { stream_id, subject } = readObject(call.request.body)
    const stream = await call.ownStream(streamIdOf(stream_id))
    const change = await setSubjectOf(call.by, stream, userOf(ctx, subject), isWanted)
    if (change === 'gone') throw noStream()
    if (change !== 'too many') return
    throw new OAuthError('invalid_request', `a stream has at most ${subjectsMax} subjects added or removed`, {
      status: 403,
    })
  }
  const add = { method: 'POST', url: '/ssf/subjects/add', scope: 'ssf.manage' } as const
  addReceiverRoute(app, ctx, add, async call => {
    await set(call, true)
    return call.reply.code(200).send()
  })
  const remove = { method: 'POST', url: '/ssf/subjects/remove', scope: 'ssf.manage' } as const
  addReceiverRoute(app, ctx, remove, async call => {
    await set(call, false)
    return call.reply.code(204).send()
  })
}

/** The user that a subject is: as events name it, or alone in a complex one. */
function userOf({ config }: Context, subject: unknown): Buffer {
  if (!isObject(subject)) throw malformed('subject must be an object with a format (RFC 9493)')
  const { format, ...members } = subject
  const [only, ...others] = Object.entries(members)
  if (format === 'complex' && only?.[0] === 'user' && others.length === 0)
    return userOf({ config } as Context, only[1])
  if (format !== 'iss_sub')
    throw malformed('subject must be of the format iss_sub: a user, as events name it')
  const { iss, sub } = members
  const id = iss === config.issuer && typeof sub === 'string' ? parseUuid(sub) : undefined
  if (id) return id
  throw new OAuthError('invalid_request', 'the subject is not one of this issuer', { status: 404 })
}
