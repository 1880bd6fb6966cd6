import Type from 'typebox'
import { readDeclared } from '../admin/declared.ts'
import { describeAlgChange } from '../admin/pending-algs.ts'
import {
  createResource,
  deleteResource,
  describeResource,
  existingResource,
  pageOfResources,
  resourceKinds,
  updateResource,
} from '../admin/resources.ts'
import { scopeWordChanges } from '../clients/scope-words.ts'
import { resourceUriMax } from '../protocol/resource.ts'
import { readCursor, writeCursor } from './cursor.ts'
import { objectOf, schemasOf } from './declared.ts'
import { route, type AnyRoute } from './route.ts'
import { algChangeMembers, pageOf, pageParameters, Time, Warnings } from './schemas.ts'

const Uri = Type.String({
  pattern: `^[\\x21-\\x7e]{1,${resourceUriMax}}$`,
  maxLength: resourceUriMax,
  description: 'an absolute URI without a fragment (RFC 8707); percent-encoded in a path',
})

const help: Readonly<Record<string, string>> = {
  scope: 'all scopes it knows',
  alg: 'the algorithm that signs its tokens',
  access_token_ttl: "for how many seconds its tokens live; null for the server's setting",
  status: 'whether its tokens say where their status is listed',
  scope_words: 'what people are told that its scopes mean',
  claims: 'the claims that its tokens have beside those of every token; null for roles, where there are any',
  open: 'whether clients that no administrator has made may ask people for tokens for it',
  personal_access_tokens: 'whether personal access tokens are taken for it',
  authorization_details_types:
    'what details clients may ask for at it (RFC 9396), by their types: the words for people, and the schema',
}

const ofKinds = schemasOf(resourceKinds, name => help[name])
const changeKinds = { ...resourceKinds, scope_words: scopeWordChanges }

const members = {
  uri: Uri,
  ...ofKinds,
  previous_alg: Type.Union([Type.String(), Type.Null()], {
    description: 'the algorithm that signs until a key of the other may; null where it does',
  }),
  created_at: Time,
}

const Resource = objectOf('Resource', members, Object.keys(members))
const ChangedResource = objectOf('ChangedResource', { ...members, warnings: Warnings, ...algChangeMembers }, [
  ...Object.keys(members),
  'warnings',
])
const beside = ['warnings', ...Object.keys(algChangeMembers)]

const ofResource = { params: Type.Object({ uri: Uri }) }

const change = { noun: 'clients', isChange: true } as const
const see = { noun: 'clients', isChange: false } as const

const listResourcesRoute = route(
  {
    method: 'GET',
    url: '/resources',
    name: 'listResources',
    summary: 'APIs that access tokens are for, in the order of their URIs',
    need: see,
    query: Type.Object(pageParameters, { additionalProperties: false }),
    answer: { status: 200, schema: pageOf(Resource) },
  },
  async (admin, { query: { limit = 50, after } }) => {
    const page = await pageOfResources(admin, { limit, after: readCursor('resources', {}, after) })
    return {
      items: page.resources.map(row => describeResource(row)),
      next: writeCursor('resources', {}, page.next),
    }
  },
)

const readResourceRoute = route(
  {
    method: 'GET',
    url: '/resources/:uri',
    name: 'readResource',
    summary: 'One API',
    need: see,
    ...ofResource,
    answer: { status: 200, schema: Resource },
    hasEtag: true,
  },
  async (admin, { params: { uri } }) => describeResource(await existingResource(admin, uri)),
)

const createResourceRoute = route(
  {
    method: 'POST',
    url: '/resources',
    name: 'createResource',
    summary: 'Add an API',
    need: change,
    body: objectOf<Readonly<Record<string, unknown>> & { readonly uri: string }>(
      'NewResource',
      { uri: Uri, ...ofKinds },
      ['uri'],
    ),
    answer: { status: 201, schema: ChangedResource },
    hasEtag: true,
    beside,
  },
  async (admin, { body: { uri, ...declared } }) => {
    const { scope, alg, access_token_ttl, status, scope_words, claims, ...others } = resourceKinds
    const created = await createResource(admin, {
      uri,
      scope: scope.fallback,
      alg: alg.fallback,
      access_token_ttl: access_token_ttl.fallback,
      status: status.fallback,
      scope_words: scope_words.fallback,
      claims: claims.fallback,
      open: others.open.fallback,
      personal_access_tokens: others.personal_access_tokens.fallback,
      authorization_details_types: others.authorization_details_types.fallback,
      ...readDeclared(resourceKinds, declared),
    })
    const document = describeResource(await existingResource({ db: admin.db }, uri))
    return { ...document, ...more(created) }
  },
)

const updateResourceRoute = route(
  {
    method: 'PATCH',
    url: '/resources/:uri',
    name: 'updateResource',
    summary: 'Change an API; what is left out stays, and so do the words of scopes',
    need: change,
    ...ofResource,
    body: objectOf<Readonly<Record<string, unknown>>>(
      'ResourceChanges',
      schemasOf(changeKinds, name => help[name]),
      [],
    ),
    answer: { status: 200, schema: ChangedResource },
    hasEtag: true,
    beside,
  },
  async (admin, { params: { uri }, body }) => {
    const updated = await updateResource(admin, uri, readDeclared(changeKinds, body))
    return { ...describeResource(updated.resource), ...more(updated) }
  },
)

/** What an answer says of a resource beside its document. */
function more({
  warning,
  algChange,
}: Pick<Awaited<ReturnType<typeof createResource>>, 'warning' | 'algChange'>) {
  return { warnings: warning === undefined ? [] : [warning], ...describeAlgChange(algChange) }
}

const deleteResourceRoute = route(
  {
    method: 'DELETE',
    url: '/resources/:uri',
    name: 'deleteResource',
    summary: 'Remove an API, whose tokens run out by themselves',
    need: change,
    ...ofResource,
    query: Type.Object(
      { force: Type.Optional(Type.Boolean({ description: 'take it from the clients that use it' })) },
      { additionalProperties: false },
    ),
    answer: {
      status: 200,
      schema: Type.Object(
        {
          uri: Uri,
          taken_from: Type.Array(Type.String(), { description: 'the clients that have used it' }),
        },
        { title: 'DeletedResource' },
      ),
    },
    hasEtag: true,
  },
  async (admin, { params: { uri }, query: { force = false } }) => {
    const { takenFrom } = await deleteResource(admin, uri, { force })
    return { uri, taken_from: takenFrom }
  },
)

/** `/resources`: the APIs that access tokens are for (RFC 8707). */
export const resourceRoutes: readonly AnyRoute[] = [
  listResourcesRoute,
  readResourceRoute,
  createResourceRoute,
  updateResourceRoute,
  deleteResourceRoute,
]
