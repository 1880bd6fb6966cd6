import Type from 'typebox'
import { chooseSignIns, countChosen, pageOfSignIns, revokeSignIns } from '../admin/sign-ins.ts'
import { ownUuid } from '../protocol/secrets.ts'
import { readIdCursor, writeIdCursor } from './cursor.ts'
import { route, type AnyRoute } from './route.ts'
import { pageOf, pageParameters, Time, Uuid } from './schemas.ts'

const SignIn = Type.Object(
  {
    sign_in: Uuid,
    sub: Uuid,
    username: Type.String(),
    amr: Type.Array(Type.String(), { description: 'RFC 8176' }),
    persistent: Type.Boolean({ description: 'whether it outlives the browser' }),
    auth_time: Time,
    created_at: Time,
    used_at: Time,
    expires_at: Time,
    first_address: Type.String(),
    last_address: Type.String(),
    user_agent: Type.String(),
  },
  { title: 'SignIn' },
)

const change = { noun: 'sessions', isChange: true } as const
const see = { noun: 'sessions', isChange: false } as const

const listSignInsRoute = route(
  {
    method: 'GET',
    url: '/sign-ins',
    name: 'listSignIns',
    summary: 'Browsers in which users are logged in, the oldest first. A page may be shorter than its limit',
    need: see,
    query: Type.Object({ sub: Type.Optional(Uuid), ...pageParameters }, { additionalProperties: false }),
    answer: { status: 200, schema: pageOf(SignIn) },
  },
  async (admin, { query: { sub, limit = 50, after } }) => {
    const page = { after: readIdCursor('sign-ins', { sub }, after), limit }
    const { signIns, next } = await pageOfSignIns(admin, await chooseSignIns(admin, { user: sub }), page)
    return { items: signIns, next: writeIdCursor('sign-ins', { sub }, next) }
  },
)

const endSignInRoute = route(
  {
    method: 'DELETE',
    url: '/sign-ins/:sign_in',
    name: 'endSignIn',
    summary: 'End one sign-in, and the sessions that end with it',
    need: change,
    params: Type.Object({ sign_in: Uuid }),
    answer: { status: 204 },
  },
  async (admin, { params: { sign_in } }) => {
    const chosen = await chooseSignIns(admin, { id: ownUuid(sign_in) })
    await revokeSignIns(admin, chosen, { total: await countChosen(admin, chosen) })
  },
)

const endSignInsOfUserRoute = route(
  {
    method: 'POST',
    url: '/users/:sub/end-sign-ins',
    name: 'endSignInsOfUser',
    summary: 'End all sign-ins of a user, and the sessions that end with them',
    need: change,
    params: Type.Object({ sub: Uuid }),
    answer: { status: 200, schema: Type.Object({ sign_ins_revoked: Type.Integer() }) },
  },
  async (admin, { params: { sub } }) => {
    const chosen = await chooseSignIns(admin, { user: sub })
    const total = await countChosen(admin, chosen)
    return { sign_ins_revoked: (await revokeSignIns(admin, chosen, { total })).ended }
  },
)

/** `/sign-ins`: browsers in which users are logged in here. */
export const signInRoutes: readonly AnyRoute[] = [listSignInsRoute, endSignInRoute, endSignInsOfUserRoute]
