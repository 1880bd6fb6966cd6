import Type from 'typebox'
import { describePersonalToken, endToken, endTokensOf, listTokensOf } from '../admin/personal-tokens.ts'
import { ownUuid } from '../protocol/secrets.ts'
import { route, type AnyRoute } from './route.ts'
import { Time, Uuid } from './schemas.ts'

const PersonalToken = Type.Object(
  {
    id: Uuid,
    name: Type.String({ description: 'as its owner calls it' }),
    resource: Type.Union([Type.String(), Type.Null()], { description: 'the API that it is for' }),
    scope: Type.Array(Type.String()),
    amr: Type.Array(Type.String(), {
      description: 'with what its owner had logged in to make it (RFC 8176)',
    }),
    created_at: Time,
    last_used_at: Type.Union([Time, Type.Null()], { description: 'to the hour; null if it never was' }),
    expires_at: Time,
  },
  { title: 'PersonalToken' },
)

const change = { noun: 'sessions', isChange: true } as const
const see = { noun: 'sessions', isChange: false } as const

const listTokensRoute = route(
  {
    method: 'GET',
    url: '/users/:sub/personal-access-tokens',
    name: 'listPersonalTokens',
    summary: 'Personal access tokens of a user that live, the newest first: never the tokens themselves',
    need: see,
    params: Type.Object({ sub: Uuid }),
    answer: { status: 200, schema: Type.Object({ items: Type.Array(PersonalToken) }) },
  },
  async (admin, { params: { sub } }) => ({
    items: (await listTokensOf(admin, sub)).map(describePersonalToken),
  }),
)

const endTokenRoute = route(
  {
    method: 'DELETE',
    url: '/users/:sub/personal-access-tokens/:id',
    name: 'endPersonalToken',
    summary: 'End one personal access token of a user for good',
    need: change,
    params: Type.Object({ sub: Uuid, id: Uuid }),
    answer: { status: 204 },
  },
  async (admin, { params: { sub, id } }) => void (await endToken(admin, sub, ownUuid(id))),
)

const endTokensRoute = route(
  {
    method: 'POST',
    url: '/users/:sub/end-personal-access-tokens',
    name: 'endPersonalTokens',
    summary: 'End all personal access tokens of a user; other sessions go on',
    need: change,
    params: Type.Object({ sub: Uuid }),
    answer: { status: 200, schema: Type.Object({ tokens_revoked: Type.Integer() }) },
  },
  async (admin, { params: { sub } }) => ({ tokens_revoked: await endTokensOf(admin, sub) }),
)

/** `/users/{sub}/personal-access-tokens`: what users have made for their scripts. */
export const personalTokenRoutes: readonly AnyRoute[] = [listTokensRoute, endTokenRoute, endTokensRoute]
