import Type, { type Static } from 'typebox'
import {
  createOwnClaim,
  deleteOwnClaimOf,
  describeOwnClaim,
  existingOwnClaim,
  listOwnClaims,
  updateOwnClaim,
} from '../admin/own-claims.ts'
import { Refusal } from '../errors.ts'
import { ownClaimKinds, readSource, takesClaimName, type ClaimSource } from '../protocol/own-claims.ts'
import { route, type AnyRoute } from './route.ts'
import { Time } from './schemas.ts'

const Name = Type.String({
  pattern: '^[A-Za-z][\\x21\\x23-\\x5b\\x5d-\\x7e]{0,99}$',
  maxLength: 100,
  description: takesClaimName,
})

const Kind = Type.Union(ownClaimKinds.map(kind => Type.Literal(kind)))

const Scalar = Type.Union([Type.String(), Type.Number(), Type.Boolean()])
const Values = Type.Record(Type.String(), Scalar, { description: 'values by names' })

const Source = Type.Object(
  {
    user: Type.Optional(Type.String({ description: 'a field of the user' })),
    constant: Type.Optional(Type.Union([Scalar, Type.Array(Type.String())])),
    roles: Type.Optional(Values),
    groups: Type.Optional(Values),
    otherwise: Type.Optional(Scalar),
  },
  { additionalProperties: false, description: 'one of user, constant, roles and groups' },
)

const OwnClaim = Type.Object(
  { name: Type.String(), kind: Kind, source: Source, created_at: Time },
  { title: 'OwnClaim' },
)

const ofClaim = { params: Type.Object({ name: Name }) }

const change = { noun: 'clients', isChange: true } as const
const see = { noun: 'clients', isChange: false } as const

const listOwnClaimsRoute = route(
  {
    method: 'GET',
    url: '/claims',
    name: 'listOwnClaims',
    summary: 'All claims of your own, in the order of their names: there are 200 at the most',
    need: see,
    answer: { status: 200, schema: Type.Object({ items: Type.Array(OwnClaim) }, { title: 'OwnClaims' }) },
  },
  async admin => ({ items: (await listOwnClaims(admin)).map(describeOwnClaim) }),
)

const readOwnClaimRoute = route(
  {
    method: 'GET',
    url: '/claims/:name',
    name: 'readOwnClaim',
    summary: 'One claim of your own',
    need: see,
    ...ofClaim,
    answer: { status: 200, schema: OwnClaim },
    hasEtag: true,
  },
  async (admin, { params: { name } }) => describeOwnClaim(await existingOwnClaim(admin, name)),
)

const createOwnClaimRoute = route(
  {
    method: 'POST',
    url: '/claims',
    name: 'createOwnClaim',
    summary: 'Add a claim, which is in no token before a resource or a client wants it',
    need: change,
    body: Type.Object({ name: Name, kind: Kind, source: Source }, { additionalProperties: false }),
    answer: { status: 201, schema: OwnClaim },
    hasEtag: true,
  },
  async (admin, { body: { name, kind, source } }) =>
    describeOwnClaim(await createOwnClaim(admin, { name, kind, source: readGiven(source) })),
)

const updateOwnClaimRoute = route(
  {
    method: 'PATCH',
    url: '/claims/:name',
    name: 'updateOwnClaim',
    summary: 'Change a claim; what is left out stays',
    need: change,
    ...ofClaim,
    body: Type.Object(
      { kind: Type.Optional(Kind), source: Type.Optional(Source) },
      { additionalProperties: false },
    ),
    answer: { status: 200, schema: OwnClaim },
    hasEtag: true,
  },
  async (admin, { params: { name }, body: { kind, source } }) => {
    const changes = { kind, source: source && readGiven(source) }
    return describeOwnClaim((await updateOwnClaim(admin, name, changes)).claim)
  },
)

const deleteOwnClaimRoute = route(
  {
    method: 'DELETE',
    url: '/claims/:name',
    name: 'deleteOwnClaim',
    summary: 'Remove a claim of your own',
    need: change,
    ...ofClaim,
    query: Type.Object(
      { force: Type.Optional(Type.Boolean({ description: 'take it from what wants it' })) },
      { additionalProperties: false },
    ),
    answer: { status: 204 },
    hasEtag: true,
  },
  async (admin, { params: { name }, query: { force = false } }) => deleteOwnClaimOf(admin, name, { force }),
)

function readGiven(source: Static<typeof Source>): ClaimSource {
  const read = readSource(source)
  if (read) return read
  throw new Refusal('invalid', 'source has one of user, constant, roles and groups', undefined, 'source')
}

/** `/claims`: claims of the installation's own. */
export const ownClaimRoutes: readonly AnyRoute[] = [
  listOwnClaimsRoute,
  readOwnClaimRoute,
  createOwnClaimRoute,
  updateOwnClaimRoute,
  deleteOwnClaimRoute,
]
