import Type from 'typebox'
import {
  createGroup,
  deleteGroup,
  describeGroup,
  existingGroup,
  pageOfGroups,
  pageOfMembers,
  setMembership,
  updateGroup,
} from '../admin/groups.ts'
import { describeUser } from '../admin/users.ts'
import { readCursor, readIdCursor, writeCursor, writeIdCursor } from './cursor.ts'
import { route, type AnyRoute } from './route.ts'
import { pageOf, pageParameters, Time, Uuid } from './schemas.ts'
import { GroupName, Roles, User } from './user-schemas.ts'

const Group = Type.Object(
  { name: Type.String(), roles: Type.Array(Type.String()), created_at: Time },
  { title: 'Group' },
)

const ofGroup = { params: Type.Object({ name: GroupName }) }

const change = { noun: 'users', isChange: true } as const
const see = { noun: 'users', isChange: false } as const

/** So many members leave a deleted group before the answer, in steps; a server sees to the rest. */
const beforeAnswer = { stepsMax: 5 }

const listGroupsRoute = route(
  {
    method: 'GET',
    url: '/groups',
    name: 'listGroups',
    summary: 'Groups in the order of their names',
    need: see,
    query: Type.Object(pageParameters, { additionalProperties: false }),
    answer: { status: 200, schema: pageOf(Group) },
  },
  async (admin, { query: { limit = 50, after } }) => {
    const page = await pageOfGroups(admin, { limit, after: readCursor('groups', {}, after) })
    return {
      items: page.groups.map(describeGroup),
      next: writeCursor('groups', {}, page.next),
    }
  },
)

const readGroupRoute = route(
  {
    method: 'GET',
    url: '/groups/:name',
    name: 'readGroup',
    summary: 'One group',
    need: see,
    ...ofGroup,
    answer: { status: 200, schema: Group },
    hasEtag: true,
  },
  async (admin, { params: { name } }) => describeGroup(await existingGroup(admin, name)),
)

const createGroupRoute = route(
  {
    method: 'POST',
    url: '/groups',
    name: 'createGroup',
    summary: 'Add a group without members',
    need: change,
    body: Type.Object({ name: GroupName, roles: Type.Optional(Roles) }, { additionalProperties: false }),
    answer: { status: 201, schema: Group },
    hasEtag: true,
  },
  async (admin, { body: { name, roles = [] } }) => describeGroup(await createGroup(admin, { name, roles })),
)

const updateGroupRoute = route(
  {
    method: 'PATCH',
    url: '/groups/:name',
    name: 'updateGroup',
    summary: 'Change the roles of a group, which the next tokens of its members have',
    need: change,
    ...ofGroup,
    body: Type.Object({ roles: Roles }, { additionalProperties: false }),
    answer: { status: 200, schema: Group },
    hasEtag: true,
  },
  async (admin, { params: { name }, body: { roles } }) =>
    describeGroup((await updateGroup(admin, name, roles)).group),
)

const deleteGroupRoute = route(
  {
    method: 'DELETE',
    url: '/groups/:name',
    name: 'deleteGroup',
    summary: 'Remove a group; the next tokens of its members say so',
    need: change,
    ...ofGroup,
    query: Type.Object(
      { force: Type.Optional(Type.Boolean({ description: 'also where it has members' })) },
      { additionalProperties: false },
    ),
    answer: { status: 204 },
    hasEtag: true,
  },
  async (admin, { params: { name }, query: { force = false } }) =>
    deleteGroup(admin, name, { force, ...beforeAnswer }),
)

const listMembersRoute = route(
  {
    method: 'GET',
    url: '/groups/:name/members',
    name: 'listMembers',
    summary: 'The users in a group, in the order of their ids',
    need: see,
    ...ofGroup,
    query: Type.Object(pageParameters, { additionalProperties: false }),
    answer: { status: 200, schema: pageOf(User) },
  },
  async (admin, { params: { name }, query: { limit = 50, after } }) => {
    const filter = { name }
    const page = await pageOfMembers(admin, name, { limit, after: readIdCursor('members', filter, after) })
    return { items: page.users.map(describeUser), next: writeIdCursor('members', filter, page.next) }
  },
)

const addMemberRoute = route(
  {
    method: 'POST',
    url: '/groups/:name/members',
    name: 'addMember',
    summary: 'Put a user into a group; nothing is done where that is so already',
    need: change,
    ...ofGroup,
    body: Type.Object({ sub: Uuid }, { additionalProperties: false }),
    answer: { status: 200, schema: User },
  },
  async (admin, { params: { name }, body: { sub } }) =>
    describeUser((await setMembership(admin, name, sub, true)).user),
)

const removeMemberRoute = route(
  {
    method: 'DELETE',
    url: '/groups/:name/members/:sub',
    name: 'removeMember',
    summary: 'Take a user out of a group; nothing is done where that is so already',
    need: change,
    params: Type.Object({ name: GroupName, sub: Uuid }),
    answer: { status: 204 },
  },
  async (admin, { params: { name, sub } }) => setMembership(admin, name, sub, false),
)

/** `/groups`: users who have roles together. */
export const groupRoutes: readonly AnyRoute[] = [
  listGroupsRoute,
  readGroupRoute,
  createGroupRoute,
  updateGroupRoute,
  deleteGroupRoute,
  listMembersRoute,
  addMemberRoute,
  removeMemberRoute,
]
