import type { FastifyInstance } from 'fastify'
import type { Context } from '../../context.ts'
import {
  malformed,
  readObject,
  readText,
  reasonLength,
  streamIdOf,
} from '../../protocol/stream-configuration.ts'
import { statusOf } from '../../streams/document.ts'
import { setStatus } from '../../streams/streams.ts'
import { addReceiverRoute, noStream } from './receiver.ts'
import { queryOf } from './streams.ts'

const statuses = ['enabled', 'paused', 'disabled'] as const

/** The status endpoint (SSF 1.0 §8.1.2). */
export function streamStatusEndpoints(app: FastifyInstance, ctx: Context): void {
  const url = '/ssf/status'

  addReceiverRoute(app, ctx, { method: 'GET', url, scope: 'ssf.read' }, async call =>
    statusOf(await call.ownStream(streamIdOf(queryOf(call)))),
  )

  addReceiverRoute(app, ctx, { method: 'POST', url, scope: 'ssf.manage' }, async call => {
    const { stream_id, status: asked, reason } = readObject(call.request.body)
    const stream = await call.ownStream(streamIdOf(stream_id))
    const status = statuses.find(one => one === asked)
    if (!status) throw malformed(`status is one of ${statuses.join(', ')}`)
    const text = reason === undefined ? null : readText(reason, 'reason', reasonLength)
    const changed = await setStatus(call.by, stream, { status, reason: text, isTold: false })
    if (!changed) throw noStream()
    return statusOf(changed)
  })
}
