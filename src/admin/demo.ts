import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { listClients, type NewClient } from '../../db/clients/clients.ts'
import { applyChanges } from '../../db/clients/declaration.ts'
import { findUser } from '../../db/users/users.ts'
import { consoleClientId } from '../clients/console-client.ts'
import { tokensClientId } from '../clients/tokens-client.ts'
import { plainClientRow } from '../clients/registration.ts'
import { defaultAlg } from '../keys/algorithms.ts'
import { newClientKey } from '../keys/proofs/client-jwks.ts'
import { deviceGrant, tokenExchange } from '../protocol/grant-types.ts'
import { hashSecret, newClientSecret, newSessionSecret } from '../protocol/secrets.ts'
import type { Event } from '../record/events.ts'
import { record } from '../record/record.ts'
import type { Admin } from './admin.ts'
import { newResourceRow } from './resources.ts'
import { withNewFile } from './secret-file.ts'
import { createUser } from './users.ts'

const uri = 'https://api.example'
const scope = ['read', 'write']
const words = { read: 'See your orders', write: 'Change your orders' }

/** The id of the client, and the name of the user. */
export const demoName = 'demo'

/** The user who administers. */
export const demoAdminName = 'admin'

/** The web app of examples/, with a key; and the single-page app, which can keep none secret. */
export const demoWeb = { id: 'demo-web', origin: 'http://127.0.0.1:3000' } as const
export const demoSpa = { id: 'demo-spa', origin: 'http://127.0.0.1:3001' } as const

/** The app of examples/ that asks people itself. */
export const demoNative = { id: 'demo-native' } as const

/** The device of examples/, which has no browser. */
export const demoDevice = { id: 'demo-device' } as const

/** The API of examples/ that calls another one, with a key; its tokens are for the first of the two. */
export const demoGateway = { id: 'demo-gateway', uri: 'https://gateway.example' } as const

/** The agent of examples/, and the MCP server that it calls. */
export const demoAgent = { id: 'demo-agent', uri: 'http://127.0.0.1:8091/mcp' } as const

const demoClaims = [
  { kind: 'set', name: 'name', value: 'Ada Demo' },
  { kind: 'set', name: 'email', value: 'ada@example.org' },
  // So that what is mailed to it is shown.
  { kind: 'set', name: 'email_verified', value: true },
] as const

export interface Demo {
  readonly clientSecret: string
  readonly password: string
  readonly adminPassword: string
  /** Where the private key of the web app lies. */
  readonly webKeyFile: string
}

/**
 * Adds a resource, clients and a user with random secrets; undefined, and nothing is added, if there is a
 * client already.
 */
export async function addDemo(
  admin: Pick<Admin, 'db' | 'clock' | 'log' | 'actor' | 'passwords' | 'config'>,
  /** The directory of the installation. */
  home: string,
): Promise<Demo | undefined> {
  const { db, clock } = admin
  const clients = (await listClients(db)).filter(({ id }) => id !== consoleClientId && id !== tokensClientId)
  if (clients.length > 0 || (await findUser(db, demoName))) return undefined
  const clientSecret = newClientSecret()
  const [password, adminPassword] = [newPassword(), newPassword()]
  await createUser(admin, { username: demoName, password, roles: [], claims: demoClaims })
  if (!(await findUser(db, demoAdminName)))
    await createUser(admin, { username: demoAdminName, password: adminPassword, roles: ['mintmark:admin'] })

  const declared = {
    scope,
    scope_words: words,
    alg: defaultAlg,
    access_token_ttl: null,
    status: true,
    personal_access_tokens: true,
    authorization_details_types: {},
    claims: null,
    open: false,
  }
  const common = { scope: scope.join(' '), resources: uri, created_at: clock.now() }
  const [ofWeb, ofGateway] = [newClientKey(), newClientKey()]
  const newResources = [uri, demoGateway.uri, demoAgent.uri].map(one =>
    newResourceRow({ ...declared, uri: one }, clock.now()),
  )
  const newClients = [
    demoRow(common, clientSecret),
    webRow(common, ofWeb.jwks),
    spaRow(common),
    nativeRow(common),
    deviceRow(common),
    gatewayRow(common, ofGateway.jwks),
    agentRow(common),
  ]
  const events = (): readonly Event[] => [
    ...newResources.map(({ uri: one }) => ({ event: 'resource_created', detail: { uri: one } }) as const),
    ...newClients.map(({ id }) => ({ event: 'client_created', clientId: id }) as const),
  ]
  const changes = { newResources, newClients, resources: new Map(), clients: new Map() }
  const fileOf = (id: string) => join(home, 'keys', `${id}.jwk`)
  const webKeyFile = fileOf(demoWeb.id)
  mkdirSync(join(home, 'keys'), { recursive: true })
  const withKey = (id: string, { privateJwk }: typeof ofWeb, add: () => Promise<boolean>) => {
    rmSync(fileOf(id), { force: true }) // a key of another database, of no use any more
    return withNewFile(fileOf(id), `${JSON.stringify(privateJwk, null, 2)}\n`, add)
  }
  const isAdded = await withKey(demoWeb.id, ofWeb, () =>
    withKey(demoGateway.id, ofGateway, () => record(admin, events, db => applyChanges(db, changes))),
  )
  return isAdded ? { clientSecret, password, adminPassword, webKeyFile } : undefined
}

const newPassword = () => newSessionSecret().toString('base64url')

type Common = Pick<NewClient, 'scope' | 'resources' | 'created_at'>

function demoRow(common: Common, secret: string): NewClient {
  return plainClientRow({
    ...common,
    id: demoName,
    secret_hash: hashSecret(secret),
    resources: `${uri} ${demoGateway.uri}`,
    grant_types: 'password refresh_token client_credentials',
  })
}

/** Any port will do where it listens (RFC 8252 §7.3). */
function webRow(common: Common, jwks: object): NewClient {
  const { id, origin } = demoWeb
  return {
    ...plainClientRow({ ...common, id, secret_hash: null }),
    auth_method: 'private_key_jwt',
    jwks: JSON.stringify(jwks),
    grant_types: 'authorization_code refresh_token',
    ...peopleColumns(origin, 'the web app of the examples'),
  }
}

function spaRow(common: Common): NewClient {
  const { id, origin } = demoSpa
  return plainClientRow({
    ...common,
    id,
    secret_hash: null,
    grant_types: 'authorization_code refresh_token',
    ...peopleColumns(origin, 'the single-page app of the examples'),
    cors_origins: origin,
    dpop_bound: 1,
    claims_in_id_token: 1,
  })
}

/** Where a browser comes back to, an app on a phone is opened by a scheme of its own (RFC 8252 §7.1). */
function nativeRow(common: Common): NewClient {
  return plainClientRow({
    ...common,
    id: demoNative.id,
    secret_hash: null,
    grant_types: 'authorization_code refresh_token',
    client_name: 'the native app of the examples',
    redirect_uris: 'com.example.orders:/callback',
    claims_in_id_token: 1,
    dpop_bound: 1,
    first_party: 1,
  })
}

function deviceRow(common: Common): NewClient {
  return plainClientRow({
    ...common,
    id: demoDevice.id,
    secret_hash: null,
    grant_types: `${deviceGrant} refresh_token`,
    client_name: 'the television of the examples',
    claims_in_id_token: 1,
  })
}

function gatewayRow(common: Common, jwks: object): NewClient {
  const { id, uri: served } = demoGateway
  return {
    ...plainClientRow({ ...common, id, secret_hash: null, scope: 'read' }),
    auth_method: 'private_key_jwt',
    jwks: JSON.stringify(jwks),
    grant_types: tokenExchange,
    introspects: served,
  }
}

function agentRow(common: Common): NewClient {
  return plainClientRow({
    ...common,
    id: demoAgent.id,
    secret_hash: null,
    grant_types: 'authorization_code refresh_token',
    client_name: 'the agent of the examples',
    redirect_uris: 'http://127.0.0.1/callback',
    resources: demoAgent.uri,
    consent: 'once',
  })
}

/** What pages need of a client. */
function peopleColumns(origin: string, client_name: string) {
  return {
    client_name,
    client_uri: `${origin}/`,
    redirect_uris: `${origin}/callback`,
    post_logout_redirect_uris: `${origin}/`,
  }
}
