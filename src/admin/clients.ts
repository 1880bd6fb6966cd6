import {
  changeClient,
  enableClient as enableClientRow,
  findClient,
  type SeenClient,
  insertClient,
  listClients as listClientRows,
} from '../../db/clients/clients.ts'
import type { ClientTable } from '../../db/schema.ts'
import { authMethodOf, type AuthMethod } from '../clients/judge-client.ts'
import type { ClientMetadata, PropertyValues } from '../clients/properties.ts'
import { clientMetadata, clientSettings, judgeNewClient, newClientRow } from '../clients/registration.ts'
import { endSessionsOfClient, type ClientEnd, type EndedSessions, type EndOptions } from '../endings/end.ts'
import { Refusal } from '../errors.ts'
import type { Changes } from '../record/events.ts'
import { record } from '../record/record.ts'
import { sha256 } from '../values/sha256.ts'
import { cutPage } from '../values/list.ts'
import type { Admin } from './admin.ts'
import { refuseClientUnlessUnlimited, refuseOwnEndOfClient } from './administrators.ts'
import { refuseOwnClient } from './console-client.ts'
import { changedColumns, differencesOf } from './differences.ts'
import { federatedColumns, ofNoProof, refuseUnnamed } from './federation.ts'
import { aboutNewAlgs, pendingClientAlgs, type AlgChange } from './pending-algs.ts'
import { heedPrecondition, movedOn } from './precondition.ts'
import { handOutSecret, type NewSecret } from './secret-file.ts'

export interface CreatedClient {
  readonly client: DescribedClient
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
  refuseOwnClient(id)
  refuseClientUnlessUnlimited(admin, metadata)
  const { refusals, warnings } = await judgeNewClient(admin.db, metadata)
  const aboutAlgs = await aboutNewAlgs(admin.db, metadata)
  if (refusals.length > 0) throw new Refusal('invalid', refusals.join('\n'))
  if (await findClient(admin.db, id)) throw idTaken(id)

  let client = newClientRow(metadata, { secretHash: null, now: admin.clock.now() })
  const insert = async (secretHash: Buffer | null) => {
    client = { ...client, secret_hash: secretHash }
    const created = { event: 'client_created', clientId: id, detail: settings } as const
    if (!(await record(admin, created, db => insertClient(db, client)))) throw idTaken(id)
  }
  const hasSecret = authMethodOf(metadata) === 'client_secret'
  const secret = hasSecret ? await handOutSecret(secretFile, insert) : undefined
  if (!secret) await insert(null)
  const algChange = (await pendingClientAlgs(admin, [client])).get(id)
  return { client, secret, warnings: [...warnings, ...aboutAlgs], algChange }
}

/** The client of this id. Refuses an unknown one, and one that is not as the precondition says. */
export async function existingClient(
  { db, precondition }: Pick<Admin, 'db' | 'precondition'>,
  id: string,
): Promise<ClientTable> {
  const found = await findClient(db, id)
  if (!found) throw noClient(id)
  heedPrecondition({ precondition }, () => describeClient(found))
  return found
}

/** The same, for an act that only some administrators may do to some clients. */
export async function clientToChange(
  admin: Pick<Admin, 'db' | 'precondition' | 'isLimited'>,
  id: string,
): Promise<ClientTable> {
  const found = await existingClient(admin, id)
  refuseClientUnlessUnlimited(admin, clientMetadata(found))
  return found
}

/** Refuses a client that describes itself: a change here would not last. */
export function refuseSelfDescribed({ id, made_by }: Pick<ClientTable, 'id' | 'made_by'>): void {
  if (made_by === 'administrator') return
  throw new Refusal(
    'invalid',
    `${id} is what it says itself (${made_by}), and cannot be changed here`,
    '`mintmark client disable` refuses it from now on',
  )
}

export interface ChangedClient {
  /** As it is now. */
  readonly client: ClientTable
  readonly differences: Changes
  /** Sentences about what to know of it; none where nothing has changed. */
  readonly warnings: readonly string[]
  /** As for a new one. */
  readonly algChange: AlgChange | undefined
}

/**
 * Changes a client, whose sessions live on, and get what it may have from now on; the rest stays. Refuses
 * what cannot be, and a client that somebody else has changed since it was read here.
 */
export async function updateClient(
  admin: Admin,
  id: string,
  changes: Partial<PropertyValues>,
): Promise<ChangedClient> {
  refuseOwnClient(id)
  const found = await clientToChange(admin, id)
  refuseSelfDescribed(found)
  const before = clientMetadata(found)
  const isFederatedNow = changes.federated === true && !before.federated
  const after = { ...before, ...(isFederatedNow && ofNoProof), ...changes }
  refuseClientUnlessUnlimited(admin, after)
  const { refusals, warnings } = await judgeNewClient(admin.db, after)
  const aboutAlgs = await aboutNewAlgs(admin.db, after)
  if (refusals.length > 0) throw new Refusal('invalid', refusals.join('\n'))
  if (isFederatedNow) await refuseUnnamed(admin, id)
  else refuseOtherProof(before, after)
  const settings = {
    ...changedColumns(clientSettings(before), clientSettings(after)),
    ...(isFederatedNow && federatedColumns(admin.clock.now())),
  }
  const differences = differencesOf(before, after)
  if (Object.keys(settings).length === 0)
    return { client: found, differences, warnings: [], algChange: undefined }
  refuseOwnEndOfClient(admin, id, after)
  const changed = { event: 'client_changed', clientId: id, detail: differences } as const
  const isChanged = await record(admin, changed, db => changeClient(db, id, settings, found))
  if (!isChanged) throw await whyLost(admin, id)
  const client = { ...found, ...settings }
  const algChange = (await pendingClientAlgs(admin, [client])).get(id)
  return { client, differences, warnings: [...warnings, ...aboutAlgs], algChange }
}

/** Refuses what would have a client authenticate in another way. */
function refuseOtherProof(before: ClientMetadata, after: ClientMetadata): void {
  const [from, to] = [authMethodOf(before), authMethodOf(after)]
  if (from === to) return
  const id = before.client_id
  throw before.federated
    ? new Refusal(
        'invalid',
        `without trusted issuers ${id} has nothing to authenticate with`,
        `\`mintmark client rotate-secret ${id}\` gives it a secret, \`set-keys\` keys`,
      )
    : new Refusal('invalid', `${id} authenticates with ${from}, not with a name`)
}

export type ListedClient = ClientTable

/** All clients in the order of their ids. */
export async function listClients({ db }: Pick<Admin, 'db'>): Promise<readonly ListedClient[]> {
  return listClientRows(db)
}

/** One page of clients, and the id after which the next one begins; undefined after the last. */
export async function pageOfClients(
  { db }: Pick<Admin, 'db'>,
  { after, limit }: { readonly after?: string | undefined; readonly limit: number },
): Promise<{ readonly clients: readonly ListedClient[]; readonly next: string | undefined }> {
  const { page, last } = cutPage(await listClientRows(db, { after, limit: limit + 1 }), limit)
  return { clients: page, next: last?.id }
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
  const client = await clientToChange(admin, id)
  const enabled = { event: 'client_enabled', clientId: id } as const
  if (!(await record(admin, enabled, db => enableClientRow(db, id, seenOf(admin, client)))))
    throw await lostClient(admin, id)
  return { ...client, disabled_at: null }
}

/** Removes a client for good, and ends its sessions. */
export async function deleteClient(admin: Admin, id: string, options?: EndOptions): Promise<EndedClient> {
  return endClient(admin, id, 'client deleted', options)
}

/** Ends all sessions of a client, which may begin others. */
export async function endClientSessions(
  admin: Admin,
  id: string,
  options?: EndOptions,
): Promise<EndedClient> {
  return endClient(admin, id, 'command', options)
}

async function endClient(
  admin: Admin,
  id: string,
  reason: ClientEnd,
  options: EndOptions | undefined,
): Promise<EndedClient> {
  const client = await clientToChange(admin, id)
  if (reason !== 'command') refuseOwnEndOfClient(admin, id)
  const seen = { client: seenOf(admin, client) }
  const ended = await endSessionsOfClient(admin, id, reason, { ...options, seen })
  if (!ended) throw await lostClient(admin, id)
  return { ...ended, client }
}

/** What of a client must still be as it was looked at: by the precondition, or by who may change few. */
function seenOf({ precondition, isLimited }: Admin, { id: _, ...seen }: ClientTable): SeenClient {
  if (precondition !== undefined) return seen
  return isLimited ? { is_admin: seen.is_admin, scope: seen.scope } : {}
}

/** Why a client could not be changed. */
async function lostClient(admin: Admin, id: string): Promise<Refusal> {
  return (await findClient(admin.db, id)) ? movedOn(admin, `the client ${id}`) : noClient(id)
}

/** The columns that a document shows. */
type DescribedClient = Omit<ClientTable, 'epoch'>

/** The document of a client (RFC 7591 §2). */
export function describeClient(row: DescribedClient) {
  const { auth_method, secret_hash, credentials_set_at, created_at, disabled_at } = row
  const { old_secret_expires_at, keys_expire_at, made_by, claimed_name } = row
  return {
    ...clientMetadata(row),
    made_by,
    claimed_name,
    token_endpoint_auth_method: methodName(auth_method),
    client_secret_id: secret_hash && nameOfSecret(secret_hash),
    credentials_set_at,
    created_at,
    disabled_at,
    old_secret_expires_at,
    keys_expire_at,
  }
}

/**
 * Tells two secrets of a client apart, and nothing of them: they are random. So the ETag of a client that
 * has got another secret is another one.
 */
function nameOfSecret(hash: Buffer): string {
  return sha256(hash).toString('base64url').slice(0, 8)
}

/** RFC 7591 §2 has two names for what is one here. */
export function methodName(method: AuthMethod): string {
  return method === 'client_secret' ? 'client_secret_basic' : method
}

const idTaken = (id: string) =>
  new Refusal('conflict', `there is a client ${id} already`, '`mintmark client list` shows it')

/** Why a change of the client as it was read has changed nothing. */
export async function whyLost({ db, precondition }: Admin, id: string): Promise<Refusal> {
  return (await findClient(db, id)) ? movedOn({ precondition }, `the client ${id}`) : noClient(id)
}

const noClient = (id: string) =>
  new Refusal('not_found', `there is no client ${id}`, '`mintmark client list` shows all')
