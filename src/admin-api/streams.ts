import Type from 'typebox'
import {
  createStream,
  deleteStream,
  describeDeliveries,
  describeStream,
  listStreams,
  setStreamStatus,
  showStream,
  updateStream,
  verifyStream,
} from '../admin/streams.ts'
import { eventTypeNames } from '../protocol/security-events.ts'
import { route, type AnyRoute } from './route.ts'
import { Time, TimeOrNull, Uuid } from './schemas.ts'

const Method = Type.Union([Type.Literal('push'), Type.Literal('poll')])
const Status = Type.Union(['enabled', 'paused', 'disabled'].map(status => Type.Literal(status)))
const Subjects = Type.Union([Type.Literal('ALL'), Type.Literal('NONE')], {
  description: 'whether it is about all users but those that were removed, or those alone that were added',
})
const Events = Type.Array(Type.Union(eventTypeNames.map(name => Type.Literal(name))), {
  description: 'the events that it gets',
  maxItems: 50,
})
const TextOrNull = Type.Union([Type.String(), Type.Null()])
const GivenTextOrNull = Type.Union([Type.String({ minLength: 1, maxLength: 200 }), Type.Null()])

const streamMembers = {
  stream_id: Uuid,
  client_id: Type.String(),
  aud: Type.String(),
  method: Method,
  endpoint_url: Type.String({ description: 'where events are pushed to, or fetched' }),
  has_authorization: Type.Boolean({ description: 'whether pushes have an Authorization' }),
  events: Events,
  status: Status,
  status_reason: TextOrNull,
  description: TextOrNull,
  subjects: Subjects,
  created_at: Time,
}

const Stream = Type.Object(streamMembers, { title: 'Stream' })

const ShownStream = Type.Object(
  {
    ...streamMembers,
    waiting: Type.Integer({
      description: 'how many events wait to be delivered; at most 10,000 are counted',
    }),
    oldest_at: TimeOrNull,
    failing_since_at: TimeOrNull,
    last_error: TextOrNull,
  },
  { title: 'ShownStream' },
)

const settings = {
  push: Type.Optional(
    Type.Union([Type.String({ minLength: 1, maxLength: 2000 }), Type.Null()], {
      description: 'where events are pushed to; null where the receiver fetches them',
    }),
  ),
  authorization: Type.Optional(
    Type.Union([Type.String({ minLength: 1, maxLength: 4096 }), Type.Null()], {
      description: 'the Authorization of each push; left out, it stays, and it is never told',
    }),
  ),
  events: Type.Optional(Type.Union([Events, Type.Null()], { description: 'null for all that there are' })),
  description: Type.Optional(GivenTextOrNull),
}

const StreamChanges = Type.Object(settings, { title: 'StreamChanges', additionalProperties: false })

const ofStream = { params: Type.Object({ id: Uuid }) }

const change = { noun: 'clients', isChange: true } as const
const see = { noun: 'clients', isChange: false } as const

const listStreamsRoute = route(
  {
    method: 'GET',
    url: '/streams',
    name: 'listStreams',
    summary:
      'All streams of security events, in the order in which they were made: a client has 10 at the most',
    need: see,
    query: Type.Object(
      { client_id: Type.Optional(Type.String({ maxLength: 128, description: 'of this client alone' })) },
      { additionalProperties: false },
    ),
    answer: { status: 200, schema: Type.Object({ items: Type.Array(Stream) }, { title: 'Streams' }) },
  },
  async (admin, { query: { client_id: clientId } }) => ({
    items: (await listStreams(admin, { clientId })).map(stream => describeStream(admin, stream)),
  }),
)

const readStreamRoute = route(
  {
    method: 'GET',
    url: '/streams/:id',
    name: 'readStream',
    summary: 'One stream, and how its delivery goes',
    need: see,
    ...ofStream,
    answer: { status: 200, schema: ShownStream },
    hasEtag: true,
    beside: ['waiting', 'oldest_at', 'failing_since_at', 'last_error'],
  },
  async (admin, { params: { id } }) => {
    const { stream, deliveries } = await showStream(admin, id)
    return { ...describeStream(admin, stream), ...describeDeliveries(deliveries) }
  },
)

const createStreamRoute = route(
  {
    method: 'POST',
    url: '/streams',
    name: 'createStream',
    summary: 'Have a receiver told of what happens to the users of its API (SSF 1.0)',
    need: change,
    body: Type.Object(
      {
        client_id: Type.String({ minLength: 1, maxLength: 128 }),
        ...settings,
        audience: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })),
        subjects: Type.Optional(Subjects),
      },
      { additionalProperties: false },
    ),
    answer: { status: 201, schema: Stream },
    hasEtag: true,
  },
  async (admin, { body: { client_id: clientId, ...body } }) =>
    describeStream(admin, await createStream(admin, { clientId, ...body })),
)

const updateStreamRoute = route(
  {
    method: 'PATCH',
    url: '/streams/:id',
    name: 'updateStream',
    summary: 'Change a stream; what is left out stays',
    need: change,
    ...ofStream,
    body: StreamChanges,
    answer: { status: 200, schema: Stream },
    hasEtag: true,
  },
  async (admin, { params: { id }, body }) =>
    describeStream(admin, (await updateStream(admin, id, body)).stream),
)

const setStreamStatusRoute = route(
  {
    method: 'POST',
    url: '/streams/:id/status',
    name: 'setStreamStatus',
    summary:
      'Pause a stream, which holds events for a week, disable it, which drops them, or go on; its receiver is told',
    need: change,
    ...ofStream,
    body: Type.Object(
      { status: Status, reason: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })) },
      { additionalProperties: false },
    ),
    answer: { status: 200, schema: Stream },
    hasEtag: true,
  },
  async (admin, { params: { id }, body: { status, reason } }) =>
    describeStream(admin, await setStreamStatus(admin, id, status, reason)),
)

const verifyStreamRoute = route(
  {
    method: 'POST',
    url: '/streams/:id/verify',
    name: 'verifyStream',
    summary: 'Send a verification to its receiver, to see whether events arrive',
    need: change,
    ...ofStream,
    answer: { status: 204 },
  },
  async (admin, { params: { id } }) => verifyStream(admin, id),
)

const deleteStreamRoute = route(
  {
    method: 'DELETE',
    url: '/streams/:id',
    name: 'deleteStream',
    summary: 'Remove a stream, with all that waits for it',
    need: change,
    ...ofStream,
    answer: { status: 204 },
    hasEtag: true,
  },
  async (admin, { params: { id } }) => deleteStream(admin, id),
)

/** `/streams`: what other servers are told by Shared Signals. */
export const streamRoutes: readonly AnyRoute[] = [
  listStreamsRoute,
  readStreamRoute,
  createStreamRoute,
  updateStreamRoute,
  setStreamStatusRoute,
  verifyStreamRoute,
  deleteStreamRoute,
]
