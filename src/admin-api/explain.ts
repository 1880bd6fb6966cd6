import Type from 'typebox'
import { describeExplained, explainLogIn } from '../admin/explain.ts'
import { ClientId } from './client-schemas.ts'
import { route, type AnyRoute } from './route.ts'
import { inUrl, Uuid } from './schemas.ts'

const Claims = Type.Record(Type.String(), Type.Unknown())

const ExplainedLogIn = Type.Object(
  {
    tokens: Type.Array(
      Type.Object({
        place: Type.Union(['access_token', 'id_token', 'userinfo'].map(place => Type.Literal(place))),
        length: Type.Integer({ description: 'about so many characters it would have' }),
        claims: Claims,
        rules: Type.Record(Type.String(), Type.String(), { description: 'by the names of the claims' }),
      }),
    ),
    notes: Type.Array(Type.String(), { description: 'what to know of it' }),
  },
  { title: 'ExplainedLogIn' },
)

const explainLogInRoute = route(
  {
    method: 'GET',
    url: '/users/:sub/tokens',
    name: 'explainLogIn',
    summary: 'What the tokens of a log-in would say, and why: their claims alone, so there is nothing to use',
    // It tells of users, clients and resources.
    need: { noun: 'all', isChange: false },
    params: Type.Object({ sub: Uuid }),
    query: Type.Object(
      {
        client: ClientId,
        resource: Type.Optional(
          Type.String({ ...inUrl, maxLength: 1024, description: 'one of its resources' }),
        ),
        scope: Type.Optional(Type.String({ ...inUrl, maxLength: 2048, description: 'separated by spaces' })),
      },
      { additionalProperties: false },
    ),
    answer: { status: 200, schema: ExplainedLogIn },
  },
  async (admin, { params: { sub }, query }) =>
    describeExplained(await explainLogIn(admin, { user: sub, ...query })),
)

/** What a log-in would get. */
export const explainRoutes: readonly AnyRoute[] = [explainLogInRoute]
