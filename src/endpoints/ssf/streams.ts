import type { FastifyInstance } from 'fastify'
import type { Context } from '../../context.ts'
import { OAuthError } from '../../errors.ts'
import { streamsPath } from '../../http/other-methods.ts'
import {
  malformed,
  readObject,
  readSettings,
  refuseOtherValues,
  streamIdOf,
  type Members,
  type StreamSettings,
} from '../../protocol/stream-configuration.ts'
import { configurationOf, fixedMembers } from '../../streams/document.ts'
import { listOwnStreams, type OwnStream } from '../../streams/own-streams.ts'
import { changeStream, createStream, deleteStream, streamsMax } from '../../streams/streams.ts'
import { networks } from '../../values/networks.ts'
import { addReceiverRoute, noStream, type ReceiverCall } from './receiver.ts'

/** The configuration endpoint (SSF 1.0 §8.1.1): a receiver's own streams, and no others. */
export function streamEndpoints(app: FastifyInstance, ctx: Context): void {
  const { issuer, deliveryNetworks } = ctx.config
  const isAllowed = networks(deliveryNetworks)
  const url = streamsPath

  addReceiverRoute(app, ctx, { method: 'POST', url, scope: 'ssf.manage' }, async call => {
    const { delivery, eventsRequested, description } = readSettings(readObject(call.request.body), isAllowed)
    const stream = await createStream(call.by, {
      clientId: call.client.id,
      audience: call.client.id,
      defaultSubjects: 'ALL',
      delivery: delivery ?? { method: 'poll' },
      eventsRequested: eventsRequested ?? null,
      description: description ?? null,
    })
    if (!stream) {
      throw new OAuthError('invalid_request', `a client has at most ${streamsMax} streams`, { status: 409 })
    }
    return call.reply.code(201).send(configurationOf(stream, issuer))
  })

  addReceiverRoute(app, ctx, { method: 'GET', url, scope: 'ssf.read' }, async call => {
    const named = queryOf(call)
    if (named !== undefined) return configurationOf(await call.ownStream(streamIdOf(named)), issuer)
    return (await listOwnStreams(ctx, call.client)).map(stream => configurationOf(stream, issuer))
  })

  const change = async (call: ReceiverCall, settingsOf: (members: Members) => Partial<StreamSettings>) => {
    const members = readObject(call.request.body)
    const stream = await call.ownStream(streamIdOf(members['stream_id']))
    refuseOtherValues(members, fixedMembers(stream, issuer))
    const changed = await changeStream(call.by, stream, settingsOf(members))
    if (!changed) throw noStream()
    return configurationOf(changed, issuer)
  }
  addReceiverRoute(app, ctx, { method: 'PATCH', url, scope: 'ssf.manage' }, call =>
    change(call, members => readSettings(members, isAllowed)),
  )
  addReceiverRoute(app, ctx, { method: 'PUT', url, scope: 'ssf.manage' }, call =>
    change(call, members => {
      const { delivery, eventsRequested = null, description = null } = readSettings(members, isAllowed)
      if (!delivery) throw malformed('delivery is missing: what is replaced is told as a whole')
      return { delivery, eventsRequested, description }
    }),
  )

  addReceiverRoute(app, ctx, { method: 'DELETE', url, scope: 'ssf.manage' }, async call => {
    const stream: OwnStream = await call.ownStream(streamIdOf(queryOf(call)))
    if (!(await deleteStream(call.by, stream))) throw noStream()
    return call.reply.code(204).send()
  })
}

/** The `stream_id` of the query; undefined where there is none. */
export function queryOf({ request }: Pick<ReceiverCall, 'request'>): unknown {
  return (request.query as Members)['stream_id']
}
