import Type, { type Static } from 'typebox'
import { describeJob, startEnding } from '../admin/jobs.ts'
import {
  chooseSessions,
  countChosen,
  existingSession,
  pageOfSessions,
  revokeSessions,
  type SessionChoice,
} from '../admin/sessions.ts'
import { Refusal } from '../errors.ts'
import { ownUuid } from '../protocol/secrets.ts'
import { readIdCursor, writeIdCursor } from './cursor.ts'
import { accepted } from './jobs.ts'
import { route, type AnyRoute } from './route.ts'
import { inUrl, pageOf, pageParameters, secondsOf, sentTime, Time, Uuid } from './schemas.ts'

const text = Type.Union([Type.String(), Type.Null()])

const Session = Type.Object(
  {
    sid: Uuid,
    sub: Type.Union([Uuid, Type.Null()], { description: 'null for the session of a machine' }),
    username: text,
    client_id: Type.String(),
    state: Type.String({
      description: 'living, expired, revoked (and why), or ended with its user or client',
    }),
    auth_time: Time,
    rotated_at: Time,
    expires_at: Time,
    scope: Type.String(),
    resource: text,
    generation: Type.Integer(),
    absolute_expires_at: Time,
    revoked_at: Type.Union([Time, Type.Null()]),
    revoke_reason: text,
  },
  { title: 'Session' },
)

const seconds = (description: string) =>
  Type.Optional(Type.Integer({ minimum: 1, maximum: 3650 * 86_400, description: `seconds: ${description}` }))

const filters = {
  sub: Type.Optional(Uuid),
  client_id: Type.Optional(Type.String({ ...inUrl, minLength: 1, maxLength: 255 })),
  resource: Type.Optional(Type.String({ ...inUrl, minLength: 1, maxLength: 2000 })),
  older_than: seconds('that began so long ago, or longer'),
  before: sentTime('that began before then'),
  idle_for: seconds('that were not used for so long'),
}

const Filters = Type.Object(filters)

function choiceOf({ sub, client_id, resource, ...ages }: Static<typeof Filters>): SessionChoice {
  const { older_than: olderThan, before, idle_for: idleFor } = ages
  return { user: sub, client: client_id, resource, olderThan, before: secondsOf('before', before), idleFor }
}

const change = { noun: 'sessions', isChange: true } as const
const see = { noun: 'sessions', isChange: false } as const

const listSessionsRoute = route(
  {
    method: 'GET',
    url: '/sessions',
    name: 'listSessions',
    summary:
      'Sessions, the oldest first: all, or those of a user, of a client, for an API, or of before some time. ' +
      'A page may be shorter than its limit, even empty',
    need: see,
    query: Type.Object(
      {
        ...filters,
        ended: Type.Optional(Type.Boolean({ description: 'also those that do not live any more' })),
        ...pageParameters,
      },
      { additionalProperties: false },
    ),
    answer: { status: 200, schema: pageOf(Session) },
  },
  async (admin, { query: { limit = 50, after, ended = false, ...filter } }) => {
    const named = { ...filter, ended }
    const page = { after: readIdCursor('sessions', named, after), limit, ended }
    const { sessions, next } = await pageOfSessions(
      admin,
      await chooseSessions(admin, choiceOf(filter)),
      page,
    )
    return { items: sessions, next: writeIdCursor('sessions', named, next) }
  },
)

const SessionCount = Type.Object(
  {
    count: Type.Integer({ description: 'how many were counted: at most 10,000' }),
    more: Type.Boolean({ description: 'whether there may be more' }),
  },
  { title: 'SessionCount' },
)

const countSessionsRoute = route(
  {
    method: 'GET',
    url: '/sessions/count',
    name: 'countSessions',
    summary: 'How many sessions live, of those that the filters choose: so many would end',
    need: see,
    query: Type.Object(filters, { additionalProperties: false }),
    answer: { status: 200, schema: SessionCount },
  },
  async (admin, { query }) => {
    const { count, isMore } = await countChosen(admin, await chooseSessions(admin, choiceOf(query)))
    return { count, more: isMore }
  },
)

const ofSession = { params: Type.Object({ sid: Uuid }) }

const readSessionRoute = route(
  {
    method: 'GET',
    url: '/sessions/:sid',
    name: 'readSession',
    summary: 'One session, whether it lives or not',
    need: see,
    ...ofSession,
    answer: { status: 200, schema: Session },
    hasEtag: true,
  },
  async (admin, { params: { sid } }) => existingSession(admin, ownUuid(sid)),
)

const endSessionRoute = route(
  {
    method: 'DELETE',
    url: '/sessions/:sid',
    name: 'endSession',
    summary: 'End one session for good',
    need: change,
    ...ofSession,
    answer: { status: 204 },
  },
  async (admin, { params: { sid } }) => {
    const chosen = await chooseSessions(admin, { id: ownUuid(sid) })
    const { count } = await countChosen(admin, chosen)
    await revokeSessions(admin, chosen, { total: count })
  },
)

const endSessionsRoute = route(
  {
    method: 'POST',
    url: '/sessions/end',
    name: 'endSessions',
    summary:
      'End the sessions that are chosen. All of a user, of a client, or all there are have ended with the ' +
      'answer, and others one after the other; the job tells how far that has come',
    need: change,
    body: Type.Object(
      {
        ...filters,
        all: Type.Optional(Type.Literal(true, { description: 'every session there is' })),
      },
      { additionalProperties: false },
    ),
    ...accepted,
  },
  async (admin, { body: { all = false, ...filter } }) => {
    if (all === Object.keys(filter).length > 0)
      throw new Refusal(
        'invalid',
        `say which sessions: by ${Object.keys(filters).join(', ')}, or all of them`,
      )
    return describeJob(await startEnding(admin, await chooseSessions(admin, choiceOf(filter))))
  },
)

const endSessionsOfUserRoute = route(
  {
    method: 'POST',
    url: '/users/:sub/end-sessions',
    name: 'endSessionsOfUser',
    summary: 'End all sessions and sign-ins of a user, also log-ins under way',
    need: change,
    params: Type.Object({ sub: Uuid }),
    ...accepted,
  },
  async (admin, { params: { sub } }) =>
    describeJob(await startEnding(admin, await chooseSessions(admin, { user: sub }))),
)

/** `/sessions`: one log-in each, with its family of tokens. */
export const sessionRoutes: readonly AnyRoute[] = [
  listSessionsRoute,
  countSessionsRoute,
  readSessionRoute,
  endSessionRoute,
  endSessionsRoute,
  endSessionsOfUserRoute,
]
