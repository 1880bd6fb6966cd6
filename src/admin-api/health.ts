import Type from 'typebox'
import { readHealth } from '../admin/health.ts'
import { route, type AnyRoute } from './route.ts'
import { Time } from './schemas.ts'

const Finding = Type.Object(
  {
    check: Type.String({ description: 'what was looked at; a check may have several findings' }),
    verdict: Type.Union(
      ['ok', 'warning', 'problem'].map(verdict => Type.Literal(verdict)),
      { description: 'a warning may be meant so; a problem is wrong' },
    ),
    text: Type.String({ description: 'what was found, for people' }),
    advice: Type.Optional(Type.String({ description: 'what to do, for people' })),
  },
  { title: 'Finding' },
)

const Health = Type.Object(
  {
    checked_at: Time,
    problems: Type.Integer({ description: 'how many there are' }),
    warnings: Type.Integer({ description: 'how many there are' }),
    findings: Type.Array(Finding),
  },
  { title: 'Health' },
)

const readHealthRoute = route(
  {
    method: 'GET',
    url: '/health',
    name: 'readHealth',
    summary:
      'Whether all is well: what `mintmark doctor` says, as this server sees it, but for the checks that read ' +
      'whole tables or ask an old system; at most ten seconds old',
    need: { noun: 'all', isChange: false },
    answer: { status: 200, schema: Health },
  },
  async admin => readHealth(admin),
)

/** `/health`: whether all is well, and what to do. */
export const healthRoutes: readonly AnyRoute[] = [readHealthRoute]
