import Type from 'typebox'
import { describeFactors, listFactors, removeFactor } from '../admin/factors.ts'
import { inviteUser } from '../admin/invitation.ts'
import {
  createUser,
  deleteUser,
  describeUser,
  disableUser,
  enableUser,
  existingUser,
  pageOfUsers,
  renameUser,
  setPassword,
  updateUser,
} from '../admin/users.ts'
import { ClaimChanges, toClaimChanges } from './claims.ts'
import { readCursor, writeCursor } from './cursor.ts'
import { personalTokenRoutes } from './personal-tokens.ts'
import { route, type AnyRoute } from './route.ts'
import { inUrl, pageOf, pageParameters, Time, Uuid } from './schemas.ts'
import { Email, Groups, Password, Roles, User, Username } from './user-schemas.ts'

/** So many sessions get their end before the answer; a server sees to the rest. */
const beforeAnswer = { stepsMax: 5 }

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
      next: writeCursor('users', filter, page.next),
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
        username: Username,
        password: Password,
        roles: Type.Optional(Roles),
        groups: Type.Optional(Groups),
        claims: Type.Optional(ClaimChanges),
      },
      { additionalProperties: false },
    ),
    answer: { status: 201, schema: User },
    hasEtag: true,
  },
  async (admin, { body: { username, claims, roles = [], ...given } }) => {
    const user = { ...given, username: username.normalize('NFC'), roles, claims: toClaimChanges(claims) }
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
  async (admin, { params: { sub }, body: { roles, claims } }) => {
    await updateUser(admin, sub, { roles, claims: toClaimChanges(claims) })
    return describeUser(await existingUser({ db: admin.db }, sub))
  },
)

const ended = { status: 200, schema: User } as const

const renameUserRoute = route(
  {
    method: 'POST',
    url: '/users/:sub/rename',
    name: 'renameUser',
    summary: 'Give a user another name to log in with; sessions go on',
    need: change,
    ...ofUser,
    body: Type.Object({ username: Username }, { additionalProperties: false }),
    answer: { status: 200, schema: User },
    hasEtag: true,
  },
  async (admin, { params: { sub }, body: { username } }) =>
    describeUser((await renameUser(admin, sub, username)).user),
)

const setPasswordRoute = route(
  {
    method: 'POST',
    url: '/users/:sub/password',
    name: 'setPassword',
    summary: 'Set a new password, which ends all sessions of the user',
    need: change,
    ...ofUser,
    body: Type.Object({ password: Password }, { additionalProperties: false }),
    answer: ended,
    hasEtag: true,
  },
  async (admin, { params: { sub }, body: { password } }) =>
    describeUser((await setPassword(admin, sub, password, beforeAnswer)).user),
)

const disableUserRoute = route(
  {
    method: 'POST',
    url: '/users/:sub/disable',
    name: 'disableUser',
    summary: 'Refuse the user from now on, and end all sessions',
    need: change,
    ...ofUser,
    answer: ended,
    hasEtag: true,
  },
  async (admin, { params: { sub } }) => describeUser((await disableUser(admin, sub, beforeAnswer)).user),
)

const enableUserRoute = route(
  {
    method: 'POST',
    url: '/users/:sub/enable',
    name: 'enableUser',
    summary: 'Let a disabled user log in again',
    need: change,
    ...ofUser,
    answer: { status: 200, schema: User },
    hasEtag: true,
  },
  async (admin, { params: { sub } }) => describeUser(await enableUser(admin, sub)),
)

const deleteUserRoute = route(
  {
    method: 'DELETE',
    url: '/users/:sub',
    name: 'deleteUser',
    summary: 'Remove a user for good, and end all sessions',
    need: change,
    ...ofUser,
    answer: { status: 204 },
    hasEtag: true,
  },
  async (admin, { params: { sub } }) => deleteUser(admin, sub, beforeAnswer),
)

const inviteUserRoute = route(
  {
    method: 'POST',
    url: '/users/invitations',
    name: 'inviteUser',
    summary: 'Add a user, and mail a link that sets the first password; again, if it was not followed',
    need: change,
    body: Type.Object(
      {
        username: Username,
        email: Email,
        roles: Type.Optional(Roles),
        groups: Type.Optional(Groups),
        claims: Type.Optional(ClaimChanges),
      },
      { additionalProperties: false },
    ),
    answer: { status: 201, schema: Type.Object({ user: User, expires_at: Time }) },
  },
  async (admin, { body: { username, claims, roles = [], ...given } }) => {
    const invitation = {
      ...given,
      username: username.normalize('NFC'),
      roles,
      claims: toClaimChanges(claims),
    }
    const { user, expiresAt } = await inviteUser(admin, invitation)
    return { user: describeUser(user), expires_at: expiresAt }
  },
)

const Factors = Type.Object(
  {
    password: Type.Boolean(),
    passkeys: Type.Array(Type.Object({ id: Uuid, name: Type.String() }, { additionalProperties: true })),
    totp: Type.Union([Type.Object({}, { additionalProperties: true }), Type.Null()]),
    recovery_codes_left: Type.Integer(),
  },
  { title: 'Factors' },
)

const listFactorsRoute = route(
  {
    method: 'GET',
    url: '/users/:sub/factors',
    name: 'listFactors',
    summary: 'What a user proves who it is with; no secret of it',
    need: see,
    ...ofUser,
    answer: { status: 200, schema: Factors },
  },
  async (admin, { params: { sub } }) => describeFactors(await listFactors(admin, sub)),
)

const removeFactorRoute = route(
  {
    method: 'DELETE',
    url: '/users/:sub/factors/:factor',
    name: 'removeFactor',
    summary: 'Remove a factor that its owner has lost, who is told by mail',
    need: change,
    params: Type.Object({
      sub: Uuid,
      factor: Type.String({
        ...inUrl,
        maxLength: 255,
        description: 'totp, recovery-codes, all, or the id of a passkey',
      }),
    }),
    answer: { status: 204 },
  },
  async (admin, { params: { sub, factor } }) => removeFactor(admin, sub, factor),
)

/** `/users`: the people who log in. */
export const userRoutes: readonly AnyRoute[] = [
  ...personalTokenRoutes,
  listUsersRoute,
  readUserRoute,
  createUserRoute,
  updateUserRoute,
  renameUserRoute,
  setPasswordRoute,
  disableUserRoute,
  enableUserRoute,
  deleteUserRoute,
  inviteUserRoute,
  listFactorsRoute,
  removeFactorRoute,
]
