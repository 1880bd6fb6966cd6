import Type from 'typebox'
import {
  createRegistrationToken,
  describeRegistrationToken,
  endRegistrationToken,
  listRegistrationTokens,
  registrationClients,
  registrationSeconds,
} from '../admin/registration-tokens.ts'
import { route, type AnyRoute } from './route.ts'
import { Time } from './schemas.ts'

const members = {
  id: Type.String(),
  name: Type.Union([Type.String(), Type.Null()], { description: 'whom it is for' }),
  clients_max: Type.Integer({ description: 'how many clients it may make' }),
  clients_made: Type.Integer(),
  expires_at: Time,
  created_at: Time,
}

const RegistrationToken = Type.Object(members, { title: 'RegistrationToken' })
const CreatedRegistrationToken = Type.Object(
  { ...members, token: Type.String({ description: 'it is shown here alone' }) },
  { title: 'CreatedRegistrationToken' },
)

const change = { noun: 'clients', isChange: true } as const
const see = { noun: 'clients', isChange: false } as const

const listRoute = route(
  {
    method: 'GET',
    url: '/registration-tokens',
    name: 'listRegistrationTokens',
    summary: 'Tokens with which clients register themselves (RFC 7591): there are 1000 at the most',
    need: see,
    answer: {
      status: 200,
      schema: Type.Object({ items: Type.Array(RegistrationToken) }, { title: 'RegistrationTokens' }),
    },
  },
  async admin => ({ items: (await listRegistrationTokens(admin)).map(describeRegistrationToken) }),
)

const createRoute = route(
  {
    method: 'POST',
    url: '/registration-tokens',
    name: 'createRegistrationToken',
    summary: 'Make a token with which clients register themselves; it is in this answer alone',
    need: change,
    body: Type.Object(
      {
        name: Type.Optional(Type.String({ maxLength: 100 })),
        clients_max: Type.Optional(Type.Integer({ minimum: 1, maximum: registrationClients.most })),
        life_seconds: Type.Optional(
          Type.Integer({ minimum: registrationSeconds.least, maximum: registrationSeconds.most }),
        ),
      },
      { title: 'NewRegistrationToken', additionalProperties: false },
    ),
    answer: { status: 201, schema: CreatedRegistrationToken },
  },
  async (
    admin,
    { body: { name, clients_max: most, life_seconds: lifeSeconds = registrationSeconds.usual } },
  ) => {
    const clientsMax = most ?? registrationClients.usual
    const { row, token } = await createRegistrationToken(admin, {
      name: name ?? null,
      clientsMax,
      lifeSeconds,
    })
    return { ...describeRegistrationToken(row), token }
  },
)

const deleteRoute = route(
  {
    method: 'DELETE',
    url: '/registration-tokens/:id',
    name: 'deleteRegistrationToken',
    summary: 'End such a token; the clients that it has made stay',
    need: change,
    params: Type.Object({ id: Type.String({ pattern: '^[0-9a-f-]{36}$', maxLength: 36 }) }),
    answer: { status: 204 },
  },
  async (admin, { params: { id } }) => endRegistrationToken(admin, id),
)

/** `/registration-tokens`: with which clients register themselves. */
export const registrationTokenRoutes: readonly AnyRoute[] = [listRoute, createRoute, deleteRoute]
