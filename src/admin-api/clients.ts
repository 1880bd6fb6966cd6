import Type from 'typebox'
import { clientForKeys, findingsAt, rotateSecret, setKeys } from '../admin/client-credentials.ts'
import {
  createClient,
  deleteClient,
  describeClient,
  disableClient,
  enableClient,
  endClientSessions,
  existingClient,
  pageOfClients,
  updateClient,
} from '../admin/clients.ts'
import { readDeclared } from '../admin/declared.ts'
import { describeAlgChange } from '../admin/pending-algs.ts'
import { withDefaults } from '../clients/client-defaults.ts'
import { propertyKinds } from '../clients/properties.ts'
import {
  beside,
  ChangedClient,
  Client,
  ClientChanges,
  ClientId,
  ClientWithKeys,
  ClientWithSecret,
  CreatedClient,
  KeepOld,
  NewClient,
  NewKeys,
} from './client-schemas.ts'
import { readCursor, writeCursor } from './cursor.ts'
import { route, type AnyRoute } from './route.ts'
import { pageOf, pageParameters, Time } from './schemas.ts'

/** So many sessions get their end before the answer; a server sees to the rest. */
const beforeAnswer = { stepsMax: 5 }

const ofClient = { params: Type.Object({ client_id: ClientId }) }

const change = { noun: 'clients', isChange: true } as const
const see = { noun: 'clients', isChange: false } as const

const listClientsRoute = route(
  {
    method: 'GET',
    url: '/clients',
    name: 'listClients',
    summary: 'Clients in the order of their ids',
    need: see,
    query: Type.Object(pageParameters, { additionalProperties: false }),
    answer: { status: 200, schema: pageOf(Client) },
  },
  async (admin, { query: { limit = 50, after } }) => {
    const { clients, next } = await pageOfClients(admin, { limit, after: readCursor('clients', {}, after) })
    return {
      items: clients.map(describeClient),
      next: writeCursor('clients', {}, next),
    }
  },
)

const readClientRoute = route(
  {
    method: 'GET',
    url: '/clients/:client_id',
    name: 'readClient',
    summary: 'One client; no secret of it',
    need: see,
    ...ofClient,
    answer: { status: 200, schema: Client },
    hasEtag: true,
  },
  async (admin, { params: { client_id: id } }) => describeClient(await existingClient(admin, id)),
)

const createClientRoute = route(
  {
    method: 'POST',
    url: '/clients',
    name: 'createClient',
    summary: 'Add a client; its secret, if it has one, is in this answer alone',
    need: change,
    body: NewClient,
    answer: { status: 201, schema: CreatedClient },
    hasEtag: true,
    beside,
  },
  async (admin, { body: { client_id, ...declared } }) => {
    const metadata = { client_id, ...withDefaults(readDeclared(propertyKinds, declared)) }
    const { client, secret, warnings, algChange } = await createClient(admin, metadata)
    const { jwks_uri: uri } = metadata
    const findings = uri === null ? [] : await findingsAt(admin, uri)
    return {
      ...describeClient(client),
      ...secret,
      warnings: [...warnings, ...findings],
      ...describeAlgChange(algChange),
    }
  },
)

const updateClientRoute = route(
  {
    method: 'PATCH',
    url: '/clients/:client_id',
    name: 'updateClient',
    summary: 'Change a client, whose sessions live on; what is left out stays',
    need: change,
    ...ofClient,
    body: ClientChanges,
    answer: { status: 200, schema: ChangedClient },
    hasEtag: true,
    beside,
  },
  async (admin, { params: { client_id: id }, body }) => {
    const changed = await updateClient(admin, id, readDeclared(propertyKinds, body))
    const { client, warnings, algChange } = changed
    return { ...describeClient(client), warnings, ...describeAlgChange(algChange) }
  },
)

const deleteClientRoute = route(
  {
    method: 'DELETE',
    url: '/clients/:client_id',
    name: 'deleteClient',
    summary: 'Remove a client for good, and end its sessions',
    need: change,
    ...ofClient,
    answer: { status: 204 },
    hasEtag: true,
  },
  async (admin, { params: { client_id: id } }) => deleteClient(admin, id, beforeAnswer),
)

const disableClientRoute = route(
  {
    method: 'POST',
    url: '/clients/:client_id/disable',
    name: 'disableClient',
    summary: 'Refuse a client from now on, and end its sessions',
    need: change,
    ...ofClient,
    answer: { status: 200, schema: Client },
    hasEtag: true,
  },
  async (admin, { params: { client_id: id } }) =>
    describeClient((await disableClient(admin, id, beforeAnswer)).client),
)

const enableClientRoute = route(
  {
    method: 'POST',
    url: '/clients/:client_id/enable',
    name: 'enableClient',
    summary: 'Let a disabled client ask for tokens again',
    need: change,
    ...ofClient,
    answer: { status: 200, schema: Client },
    hasEtag: true,
  },
  async (admin, { params: { client_id: id } }) => describeClient(await enableClient(admin, id)),
)

const rotateSecretRoute = route(
  {
    method: 'POST',
    url: '/clients/:client_id/secret',
    name: 'rotateClientSecret',
    summary: 'Give a client a new secret, which is in this answer alone',
    need: change,
    ...ofClient,
    body: Type.Object({ keep_old_seconds: KeepOld }, { title: 'NewSecret', additionalProperties: false }),
    answer: { status: 200, schema: ClientWithSecret },
    hasEtag: true,
    beside,
  },
  async (admin, { params: { client_id: id }, body: { keep_old_seconds: keepSeconds } }) => {
    const { secret } = await rotateSecret(admin, id, { keepSeconds })
    return { ...describeClient(await existingClient({ db: admin.db }, id)), ...secret }
  },
)

const setKeysRoute = route(
  {
    method: 'POST',
    url: '/clients/:client_id/keys',
    name: 'setClientKeys',
    summary: 'Give a client public keys instead of its secret, or other keys',
    need: change,
    ...ofClient,
    body: NewKeys,
    answer: { status: 200, schema: ClientWithKeys },
    hasEtag: true,
    beside,
  },
  async (admin, { params: { client_id: id }, body }) => {
    const { jwks = null, jwks_uri = null, keep_old_seconds: keepSeconds } = body
    const { warnings } = await setKeys(admin, await clientForKeys(admin, id), { jwks, jwks_uri }, keepSeconds)
    const findings = jwks_uri === null ? [] : await findingsAt(admin, jwks_uri)
    const client = await existingClient({ db: admin.db }, id)
    return { ...describeClient(client), warnings: [...warnings, ...findings] }
  },
)

const endSessionsRoute = route(
  {
    method: 'POST',
    url: '/clients/:client_id/end-sessions',
    name: 'endClientSessions',
    summary: 'End all sessions of a client, which may begin others',
    need: change,
    ...ofClient,
    answer: {
      status: 200,
      schema: Type.Object({ client_id: ClientId, ended_at: Time }, { title: 'EndedClientSessions' }),
    },
  },
  async (admin, { params: { client_id: id } }) => {
    const { at } = await endClientSessions(admin, id, beforeAnswer)
    return { client_id: id, ended_at: at }
  },
)

/** `/clients`: the apps that ask for tokens, and the resource servers that introspect them. */
export const clientRoutes: readonly AnyRoute[] = [
  listClientsRoute,
  readClientRoute,
  createClientRoute,
  updateClientRoute,
  deleteClientRoute,
  disableClientRoute,
  enableClientRoute,
  rotateSecretRoute,
  setKeysRoute,
  endSessionsRoute,
]
