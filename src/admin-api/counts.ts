import Type from 'typebox'
import { readChart } from '../admin/counts.ts'
import { route, type AnyRoute } from './route.ts'
import { Time, TimeOrNull } from './schemas.ts'

const Period = Type.Union([Type.Literal('hour'), Type.Literal('day'), Type.Literal('month')])

const numbers = (description: string) => Type.Array(Type.Integer(), { description })

const Refusals = Type.Object(
  {
    of: Type.Union(
      ['log_in', 'refresh', 'other', 'page'].map(of => Type.Literal(of)),
      { description: 'of a log-in, a refresh or another grant at `/token`, or of a log-in at the pages' },
    ),
    reason: Type.String({
      description: 'the `error` that was answered, `throttled` for 429; at the pages `failed` or `throttled`',
    }),
    counts: numbers('how many'),
  },
  { title: 'Refusals' },
)

const Counts = Type.Object(
  {
    period: Period,
    step_seconds: Type.Integer({ description: 'how long a step is' }),
    from: Time,
    until: Type.String({
      format: 'date-time',
      description: 'when the last step was over; RFC 3339, in UTC',
    }),
    log_ins: numbers('sessions of people that began'),
    refreshes: numbers('refreshes that were answered with tokens'),
    late_retries: numbers('refreshes with the token of before, whose answer was lost'),
    thefts: numbers('refresh tokens of two holders, by which a session ended'),
    refusals: Type.Array(Refusals, { description: 'those of which there are most first' }),
    sessions: Type.Array(Type.Union([Type.Integer(), Type.Null()]), {
      description:
        'sessions of people that lived when they were last counted, at the end of each step: about once an ' +
        'hour all are looked at one after the other. Null for before the first time',
    }),
    sessions_counted_at: TimeOrNull,
  },
  { title: 'Counts', description: 'of all servers together; a number for each step from `from` on' },
)

const readCountsRoute = route(
  {
    method: 'GET',
    url: '/counts',
    name: 'readCounts',
    summary:
      'How often things have happened, for charts: the last hour by minutes, the last day by 10 minutes, or the ' +
      'last 30 days by hours. A step is there when it is over; a server that was killed takes its last minute along',
    need: { noun: 'all', isChange: false },
    query: Type.Object({ period: Type.Optional(Period) }, { additionalProperties: false }),
    answer: { status: 200, schema: Counts },
    hasEtag: true,
  },
  async (admin, { query: { period = 'hour' } }) => readChart(admin, period),
)

/** `/counts`: what there is to chart. */
export const countRoutes: readonly AnyRoute[] = [readCountsRoute]
