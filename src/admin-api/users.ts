import Type from 'typebox'
import { createUser, describeUser, existingUser, pageOfUsers, updateUser } from '../admin/users.ts'
import { Refusal } from '../errors.ts'
import { itemsOf } from '../values/list.ts'
import { adminRoles, type AdminCaller } from './caller.ts'
import { ClaimChanges, toClaimChanges } from './claims.ts'
import { readCursor, writeCursor } from './cursor.ts'
import { route, type AnyRoute } from './route.ts'
import { pageOf, pageParameters, Time, Uuid } from './schemas.ts'

const User = Type.Object(
  {
    sub: Uuid,
    username: Type.String(),
    roles: Type.Array(Type.String()),
    claims: Type.Record(Type.String(), Type.Unknown(), { description: 'OpenID Connect Core §5.1' }),
    created_at: Time,
    disabled_at: Type.Union([Time, Type.Null()]),
  },
  { title: 'User' },
)

const Roles = Type.Array(Type.String({ pattern: '^[\\x21\\x23-\\x5b\\x5d-\\x7e]+$', maxLength: 255 }), {
  maxItems: 100,
  description: 'visible ASCII without spaces, quotes and backslashes',
})

const ofUser = { params: Type.Object({ sub: Uuid }) }

const change = { noun: 'users', isChange: true } as const
const see = { noun: 'users', isChange: false } as const

const listUsersRoute = route(
  {
    method: 'GET',
    url: '/users',
    name: 'listUsers',
    summary: 'Users in the order of their names',
    need: see,
    query: Type.Object(
      {
        search: Type.Optional(
          Type.String({
            minLength: 1,
            maxLength: 255,
            description: 'the beginning of a user name, or of a verified mail address',
          }),
        ),
        ...pageParameters,
      },
      { additionalProperties: false },
    ),
    answer: { status: 200, schema: pageOf(User) },
  },
  async (admin, { query: { search, limit = 50, after } }) => {
    const filter = { search }
    const page = await pageOfUsers(admin, { search, limit, after: readCursor('users', filter, after) })
    return {
      items: page.users.map(describeUser),
      next: page.next === undefined ? null : writeCursor('users', filter, page.next),
    }
  },
)

const readUserRoute = route(
  {
    method: 'GET',
    url: '/users/:sub',
    name: 'readUser',
    summary: 'One user',
    need: see,
    ...ofUser,
    answer: { status: 200, schema: User },
    hasEtag: true,
  },
  async (admin, { params: { sub } }) => describeUser(await existingUser(admin, sub)),
)

const createUserRoute = route(
  {
    method: 'POST',
    url: '/users',
    name: 'createUser',
    summary: 'Add a user with a password',
    need: change,
    body: Type.Object(
      {
        username: Type.String({ minLength: 1, maxLength: 255 }),
        password: Type.String({ minLength: 1, maxLength: 1024 }),
        roles: Type.Optional(Roles),
        claims: Type.Optional(ClaimChanges),
      },
      { additionalProperties: false },
    ),
    answer: { status: 201, schema: User },
    hasEtag: true,
  },
  async (admin, { body: { username, password, roles = [], claims }, caller }) => {
    refuseAdminRoles(caller, roles)
    const user = { username: username.normalize('NFC'), password, roles, claims: toClaimChanges(claims) }
    return describeUser(await createUser(admin, user))
  },
)

const updateUserRoute = route(
  {
    method: 'PATCH',
    url: '/users/:sub',
    name: 'updateUser',
    summary: 'Change what apps are told of a user; what is left out stays',
    need: change,
    ...ofUser,
    body: Type.Object(
      { roles: Type.Optional(Roles), claims: Type.Optional(ClaimChanges) },
      { additionalProperties: false },
    ),
    answer: { status: 200, schema: User },
    hasEtag: true,
  },
  async (admin, { params: { sub }, body: { roles, claims }, caller }) => {
    const before = await existingUser(admin, sub)
    refuseAdminRoles(caller, [...itemsOf(before.roles), ...(roles ?? [])])
    await updateUser(admin, sub, { roles, claims: toClaimChanges(claims) })
    return describeUser(await existingUser({ db: admin.db }, sub))
  },
)

/** The scope for users alone makes no administrators, and takes over no administrator's account. */
function refuseAdminRoles({ may }: AdminCaller, roles: readonly string[]): void {
  if (!roles.some(role => adminRoles.has(role)) || may({ noun: 'all', isChange: true })) return
  throw new Refusal('forbidden', 'only who has the scope admin:write may change administrators')
}

/** `/users`: the people who log in. */
export const userRoutes: readonly AnyRoute[] = [
  listUsersRoute,
  readUserRoute,
  createUserRoute,
  updateUserRoute,
]
