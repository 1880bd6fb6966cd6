import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import Type, { type Static } from 'typebox'
import { chooseAudit, describeAuditEntry, nameOfPlace, placeNamed } from '../admin/audit.ts'
import type { Context } from '../context.ts'
import { Refusal } from '../errors.ts'
import { openEventStream } from '../http/event-stream.ts'
import { eventStreamType, heartbeat, streamedEvent, streamStart } from '../protocol/event-stream.ts'
import { nameOf } from '../record/actor.ts'
import { adminPath } from './admin-path.ts'
import { auditFilters, choiceOf, seeAudit } from './audit.ts'
import { callerLetIn, letIn, staysIn, type AdminCaller } from './caller.ts'
import { describe } from './route.ts'
import { inUrl, withTimes } from './schemas.ts'

const Query = Type.Object(
  {
    ...auditFilters,
    after: Type.Optional(
      Type.String({
        ...inUrl,
        maxLength: 40,
        description: 'the id of the entry that was read last; without one it begins with the next entry',
      }),
    ),
  },
  { additionalProperties: false },
)

const description = {
  method: 'GET',
  url: '/audit/stream',
  name: 'streamAuditEntries',
  summary:
    'New entries of the audit trail as they come, in the order in which they were written: server-sent ' +
    'events, of which each has an AuditEntry as its data, and its id',
  need: seeAudit,
  query: Query,
  headers: {
    'last-event-id': Type.Optional(
      Type.String({ maxLength: 40, description: 'as `after`; browsers send it when they connect again' }),
    ),
  },
  answer: {
    status: 200,
    type: eventStreamType,
    schema: Type.String({ description: 'server-sent events, as the HTML standard has them' }),
  },
} as const

/** How long one waits before it comes again. */
const retryMilliseconds = 2000

/** `/audit/stream`: what happens, as it happens (HTML, server-sent events). */
export function addAuditStream(app: FastifyInstance, ctx: Context): void {
  app.route({
    method: 'GET',
    exposeHeadRoute: false,
    url: adminPath + description.url,
    schema: describe(description),
    onRequest: letIn(ctx, seeAudit),
    handler: async (request, reply) => {
      const caller = callerLetIn(request)
      await stream(ctx, caller, request, reply)
      return reply
    },
  })
}

/** Answers, and goes on until one of both ends it. */
async function stream(
  ctx: Context,
  caller: AdminCaller,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<void> {
  const query = request.query as Static<typeof Query>
  let isGone = false
  reply.raw.once('close', () => (isGone = true))
  const isWanted = await chooseAudit(ctx, choiceOf(query))
  const listener: Parameters<typeof ctx.auditFeed.listen>[0] = {
    source: nameOf(caller.actor),
    after: placeOf(query.after ?? String(request.headers['last-event-id'] ?? '')),
    isWanted,
    textOf: entry =>
      streamedEvent({ id: nameOfPlace(entry), data: Object(withTimes(describeAuditEntry(entry))) }),
    heartbeatAt: place => heartbeat(place.at === 0 ? undefined : nameOfPlace(place)),
    sessionId: caller.sent.session.id,
    expiresAt: Number(caller.sent.claims['exp']),
    mayGoOn: session => staysIn(ctx, request, caller, { session, need: seeAudit }),
  }
  const listen = () => ctx.auditFeed.listen(listener)
  // Its place is counted until the stream has begun.
  const listening = await ctx.load.admission.admit('other', listen, listener.source)
  if (isGone) return listening.stop()
  const stream = openEventStream(reply)
  stream.send(streamStart(retryMilliseconds))
  listening.start(stream)
}

function placeOf(text: string): ReturnType<typeof placeNamed> {
  if (text === '') return undefined
  const place = placeNamed(text)
  if (place) return place
  throw new Refusal('invalid', 'after is no id of an entry, such as 1900000000-17', undefined, 'after')
}
