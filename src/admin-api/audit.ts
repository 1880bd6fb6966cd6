import Type, { type Static } from 'typebox'
import { nameOfPlace, pageOfAudit, placeNamed, type AuditChoice, type AuditPage } from '../admin/audit.ts'
import { ownUuid } from '../protocol/secrets.ts'
import { noCursor, readCursor, writeCursor } from './cursor.ts'
import { route, type AnyRoute } from './route.ts'
import { inUrl, pageOf, pageParameters, secondsOf, sentTime, Time, Uuid } from './schemas.ts'

const text = Type.Union([Type.String(), Type.Null()])

export const AuditEntry = Type.Object(
  {
    id: Type.String({ description: 'of this entry: the stream goes on after it' }),
    at: Time,
    event: Type.String(),
    actor: Type.String({
      description:
        'who did it: `client ID`, `user SUB`, `command USER`, `server`, or `nobody` for a stranger',
    }),
    sub: Type.Union([Uuid, Type.Null()], { description: 'the user that it is about' }),
    username: text,
    client_id: text,
    sid: Type.Union([Uuid, Type.Null()]),
    address: text,
    request_id: text,
    count: Type.Integer({ description: 'how often it happened: in a flood one entry stands for many' }),
    detail: Type.Record(Type.String(), Type.Unknown(), { description: 'the facts of the event' }),
  },
  { title: 'AuditEntry' },
)

const word = (description: string, form = {}) =>
  Type.Optional(Type.String({ ...form, minLength: 1, maxLength: 255, description }))

/** Which entries, for the list as for the stream. */
export const auditFilters = {
  event: Type.Optional(
    Type.String({
      pattern: '^[a-z_]+(?:,[a-z_]+)*$',
      maxLength: 2000,
      description: 'of this kind, or of several, separated by commas',
    }),
  ),
  sub: Type.Optional(Uuid),
  client_id: word('about this client', inUrl),
  sid: Type.Optional(Uuid),
  actor: word('by this one, named as in the entries'),
  request_id: word('of this request', inUrl),
}

const Filters = Type.Object(auditFilters)

export function choiceOf({
  event,
  sub,
  client_id,
  sid,
  actor,
  request_id,
}: Static<typeof Filters>): AuditChoice {
  return {
    events: event?.split(','),
    user: sub,
    client: client_id,
    session: sid === undefined ? undefined : ownUuid(sid),
    actor,
    requestId: request_id,
  }
}

/** The trail tells of administrators too, and from where they work: nothing for who may see users alone. */
export const seeAudit = { noun: 'all', isChange: false } as const

const listAuditRoute = route(
  {
    method: 'GET',
    url: '/audit',
    name: 'listAuditEntries',
    summary:
      'What has happened, the newest first: all, or what the filters leave of one user (`sub`) or of some ' +
      'time (`since`). A page may be shorter than its limit, even empty',
    need: seeAudit,
    query: Type.Object(
      {
        ...auditFilters,
        since: sentTime('from then on'),
        until: sentTime('before then'),
        ...pageParameters,
      },
      { additionalProperties: false },
    ),
    answer: { status: 200, schema: pageOf(AuditEntry) },
  },
  async (admin, { query: { limit = 50, after, ...filter } }) => {
    const choice = {
      ...choiceOf(filter),
      since: secondsOf('since', filter.since),
      until: secondsOf('until', filter.until),
    }
    const { entries, next } = await pageOfAudit(admin, choice, { before: placeAt(filter, after), limit })
    return {
      items: entries,
      next: writeCursor('audit', filter, next && nameOfPlace(next)),
    }
  },
)

function placeAt(filter: object, after: string | undefined): AuditPage['next'] {
  const key = readCursor('audit', filter, after)
  const place = key === undefined ? undefined : placeNamed(key)
  if (key !== undefined && !place) throw noCursor()
  return place
}

/** `/audit`: what has happened that matters to security. */
export const auditRoutes: readonly AnyRoute[] = [listAuditRoute]
