import {
  changeClient,
  enableClient as enableClientRow,
  findClient,
  insertClient,
  listClients as listClientRows,
  rotateClientSecret,
  setClientKeys,
} from '../../db/clients/clients.ts'
import type { ClientTable } from '../../db/schema.ts'
import { fetchJwks } from '../clients/fetch-jwks.ts'
import { authMethodOf, type AuthMethod } from '../clients/judge-client.ts'
import { fapiKeyRefusals } from '../clients/judge-fapi.ts'
import type { ClientMetadata } from '../clients/properties.ts'
import {
  clientMetadata,
  clientSettings,
  judgeKeys,
  judgeNewClient,
  keySettings,
  newClientRow,
} from '../clients/registration.ts'
import { endSessionsOfClient, type ClientEnd, type EndedSessions, type EndOptions } from '../endings/end.ts'
import { Refusal } from '../errors.ts'
import { readClientJwks } from '../keys/proofs/client-jwks.ts'
import type { Changes } from '../record/events.ts'
import { record } from '../record/record.ts'
import { networks } from '../values/networks.ts'
import type { Admin } from './admin.ts'
import { changedColumns, differencesOf } from './differences.ts'
import { aboutNewAlgs, pendingClientAlgs, type AlgChange } from './pending-algs.ts'
import { handOutSecret, type NewSecret } from './secret-file.ts'

export interface CreatedClient {
  readonly createdAt: number
  /** Undefined for a client that authenticates with something else, or not at all. */
  readonly secret: NewSecret | undefined
  /** Sentences about what to know of it. */
  readonly warnings: readonly string[]
  /** When an algorithm that it has chosen begins to sign; undefined where it does already. */
  readonly algChange: AlgChange | undefined
}

/**
 * Adds a client. Refuses what cannot be, with all reasons, and an id that is taken. `secretFile` is an
 * absolute path.
 */
export async function createClient(
  admin: Admin,
  metadata: ClientMetadata,
  { secretFile }: { readonly secretFile?: string | undefined } = {},
): Promise<CreatedClient> {
  const { client_id: id, ...settings } = metadata
  const { refusals, warnings } = await judgeNewClient(admin.db, metadata)
  const aboutAlgs = await aboutNewAlgs(admin.db, metadata)
  if (refusals.length > 0) throw new Refusal('invalid', refusals.join('\n'))
  if (await findClient(admin.db, id)) throw idTaken(id)

  const createdAt = admin.clock.now()
  const insert = async (secretHash: Buffer | null) => {
    const row = newClientRow(metadata, { secretHash, now: createdAt })
    const created = { event: 'client_created', clientId: id, detail: settings } as const
    if (!(await record(admin, created, db => insertClient(db, row)))) throw idTaken(id)
  }
  const hasSecret = authMethodOf(metadata) === 'client_secret'
  const secret = hasSecret ? await handOutSecret(secretFile, insert) : undefined
  if (!secret) await insert(null)
  const algChange = (await pendingClientAlgs(admin)).get(id)
  return { createdAt, secret, warnings: [...warnings, ...aboutAlgs], algChange }
}

/** The client of this id; refuses an unknown one. */
export async function existingClient({ db }: Pick<Admin, 'db'>, id: string): Promise<ClientTable> {
  const found = await findClient(db, id)
  if (!found) throw noClient(id)
  return found
}

export interface ChangedClient {
  readonly differences: Changes
  /** Sentences about what to know of it; none where nothing has changed. */
  readonly warnings: readonly string[]
  /** As for a new one. */
  readonly algChange: AlgChange | undefined
}

/** Changes a client, whose sessions live on, and get what it may have from now on. Refuses what cannot be. */
export async function updateClient(
  admin: Admin,
  before: ClientMetadata,
  after: ClientMetadata,
): Promise<ChangedClient> {
  const { client_id: id } = before
  const { refusals, warnings } = await judgeNewClient(admin.db, after)
  const aboutAlgs = await aboutNewAlgs(admin.db, after)
  if (refusals.length > 0) throw new Refusal('invalid', refusals.join('\n'))
  if (authMethodOf(before) !== authMethodOf(after)) {
    throw new Refusal('invalid', `${id} authenticates with ${authMethodOf(before)}, not with a name`)
  }
  const settings = changedColumns(clientSettings(before), clientSettings(after))
  const differences = differencesOf(before, after)
  if (Object.keys(settings).length === 0) return { differences, warnings: [], algChange: undefined }
  const changed = { event: 'client_changed', clientId: id, detail: differences } as const
  if (!(await record(admin, changed, db => changeClient(db, id, settings)))) throw noClient(id)
  const algChange = (await pendingClientAlgs(admin)).get(id)
  return { differences, warnings: [...warnings, ...aboutAlgs], algChange }
}

export type ListedClient = ClientTable

/** All clients in the order of their ids. */
export async function listClients({ db }: Pick<Admin, 'db'>): Promise<readonly ListedClient[]> {
  return listClientRows(db)
}

/** The end of all sessions of a client. */
export interface EndedClient extends EndedSessions {
  /** As the client is now; a deleted one, as it was. */
  readonly client: ClientTable
}

/** Refuses the client from now on, and ends its sessions. */
export async function disableClient(admin: Admin, id: string, options?: EndOptions): Promise<EndedClient> {
  const ended = await endClient(admin, id, 'client disabled', options)
  return { ...ended, client: { ...ended.client, disabled_at: ended.at } }
}

/** Lets a disabled client ask for tokens again. */
export async function enableClient(admin: Admin, id: string): Promise<ClientTable> {
  const client = await existingClient(admin, id)
  const enabled = { event: 'client_enabled', clientId: id } as const
  if (!(await record(admin, enabled, db => enableClientRow(db, id)))) throw noClient(id)
  return { ...client, disabled_at: null }
}

/** Removes a client for good, and ends its sessions. */
export async function deleteClient(admin: Admin, id: string, options?: EndOptions): Promise<EndedClient> {
  return endClient(admin, id, 'client deleted', options)
}

async function endClient(
  admin: Admin,
  id: string,
  reason: ClientEnd,
  options: EndOptions | undefined,
): Promise<EndedClient> {
  const client = await existingClient(admin, id)
  const ended = await endSessionsOfClient(admin, id, reason, options)
  if (!ended) throw noClient(id)
  return { ...ended, client }
}

/** A change of what a client authenticates with. */
export interface NewCredentials {
  /** The method before. */
  readonly from: AuthMethod
  /** Until when that works too, in seconds since the epoch; null when it has ended. */
  readonly oldExpiresAt: number | null
}

/**
 * Gives a client a new secret; what it had works for another `keepSeconds`, or has ended. Refuses a public
 * client, and one that is known by its certificate. `secretFile` is an absolute path.
 */
export async function rotateSecret(
  admin: Admin,
  id: string,
  {
    keepSeconds,
    secretFile,
  }: { readonly keepSeconds?: number | undefined; readonly secretFile?: string | undefined },
): Promise<NewCredentials & { readonly secret: NewSecret }> {
  const { auth_method: from, profile } = await existingClient(admin, id)
  if (from === 'none') throw new Refusal('invalid', `the client ${id} is public, so it has no secret`)
  if (profile === 'fapi2') {
    throw new Refusal(
      'invalid',
      `the client ${id} is held to fapi2, which takes no secrets`,
      `\`mintmark client set-keys ${id}\` gives it other keys`,
    )
  }
  if (from !== 'client_secret' && from !== 'private_key_jwt') {
    throw new Refusal(
      'invalid',
      `the client ${id} authenticates with its certificate (${from}), and takes no secret`,
    )
  }
  const oldExpiresAt = keepSeconds === undefined ? null : admin.clock.now() + keepSeconds
  const secret = await handOutSecret(secretFile, async secretHash => {
    const detail = { from, old_secret_expires_at: oldExpiresAt }
    const rotated = await record(admin, { event: 'client_secret_rotated', clientId: id, detail }, db =>
      rotateClientSecret(db, id, { from, secretHash, oldExpiresAt }),
    )
    if (!rotated) throw noClient(id)
  })
  return { from, oldExpiresAt, secret }
}

/** A client that is known by keys, or by a secret that keys may replace. */
export type ClientForKeys = Pick<ClientTable, 'id' | 'profile'> & {
  readonly auth_method: Exclude<AuthMethod, 'none' | 'tls_client_auth'>
}

/** Finds a client that may be given keys. Refuses any other. */
export async function clientForKeys(admin: Admin, id: string): Promise<ClientForKeys> {
  const { auth_method: method, profile } = await existingClient(admin, id)
  if (method === 'none' || method === 'tls_client_auth') {
    throw new Refusal(
      'invalid',
      `the client ${id} (${method}) is not known by keys`,
      'delete it, and create it with them',
    )
  }
  return { id, profile, auth_method: method }
}

/** Public keys (RFC 7517 §5), or where the client publishes them. */
export interface ClientKeySet {
  readonly jwks: object | null
  readonly jwks_uri: string | null
}

/**
 * Gives a client other keys, or keys instead of its secret, which works for another `keepSeconds`, or has
 * ended.
 */
export async function setKeys(
  admin: Admin,
  { id, profile, auth_method: from }: ClientForKeys,
  { jwks, jwks_uri }: ClientKeySet,
  keepSeconds: number | undefined,
): Promise<NewCredentials & { readonly warnings: readonly string[] }> {
  const given = { jwks, jwks_uri, tls_subject: null }
  const isFapi = profile === 'fapi2' && from === 'private_key_jwt'
  const { refusals: unfit, warnings } = judgeKeys(given)
  const refusals = isFapi ? [...unfit, ...fapiKeyRefusals(jwks)] : unfit
  if (refusals.length > 0) throw new Refusal('invalid', refusals.join('\n'))
  const oldExpiresAt = keepSeconds === undefined ? null : admin.clock.now() + keepSeconds
  const columns = keySettings(given)
  const keys = { jwks: columns.jwks, jwks_uri: columns.jwks_uri }
  const detail = { from, jwks, jwks_uri: keys.jwks_uri, old_secret_expires_at: oldExpiresAt }
  const changed = await record(admin, { event: 'client_keys_set', clientId: id, detail }, db =>
    setClientKeys(db, id, { from, keys, oldExpiresAt }),
  )
  if (!changed) throw noClient(id)
  return { from, oldExpiresAt, warnings }
}

/** How long the look at a new `jwks_uri` may take. */
const fetchSeconds = 5

/** Looks at a `jwks_uri` now. The server looks by itself, again and again, so a failure is no refusal. */
export async function findingsAt({ config }: Pick<Admin, 'config'>, uri: string): Promise<readonly string[]> {
  try {
    const reach = { isAllowed: networks(config.jwksUriNetworks), seconds: fetchSeconds }
    const read = readClientJwks(await fetchJwks(uri, reach))
    if (!read) throw new Error('the answer is no JWK Set')
    return [
      ...read.problems.map(problem => `at ${uri}, ${problem}`),
      ...(read.keys.length === 0
        ? [`there is no usable key at ${uri} yet, and until then it is refused`]
        : []),
    ]
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    return [`${uri} cannot be read from here now, and until it can the client is refused: ${reason}`]
  }
}

/** The document of a client (RFC 7591 §2). */
export function describeClient(row: ClientTable) {
  const { auth_method, created_at, disabled_at, old_secret_expires_at, keys_expire_at } = row
  return {
    ...clientMetadata(row),
    token_endpoint_auth_method: methodName(auth_method),
    created_at,
    disabled_at,
    old_secret_expires_at,
    keys_expire_at,
  }
}

/** RFC 7591 §2 has two names for what is one here. */
export function methodName(method: AuthMethod): string {
  return method === 'client_secret' ? 'client_secret_basic' : method
}

const idTaken = (id: string) =>
  new Refusal('conflict', `there is a client ${id} already`, '`mintmark client list` shows it')

const noClient = (id: string) =>
  new Refusal('not_found', `there is no client ${id}`, '`mintmark client list` shows all')
