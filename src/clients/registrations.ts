import { changeClient, findClient } from '../../db/clients/clients.ts'
import { registerClient } from '../../db/clients/registrations.ts'
import type { Config } from '../config/load.ts'
import { OAuthError } from '../errors.ts'
import { openValue } from '../keys/sealed.ts'
import type { KeyRing } from '../keys/ring/key-ring.ts'
import type { RootKeys } from '../keys/root/root-key.ts'
import { hashSecret, isSameHash, parseUuid } from '../protocol/secrets.ts'
import type { RequestOrigin } from '../record/actor.ts'
import { byClient, byNobody, record, type Recorder } from '../record/record.ts'
import { documentColumns, type DocumentColumns } from './client-document.ts'
import { registeredAnew, registering, type Registering, type SaidMetadata } from './registering.ts'
import { untilAllKnow, type Client, type Registry } from './registry.ts'

/** As much of a context as clients need that register themselves. */
export interface RegistrationContext extends Required<Omit<Recorder, 'actor' | 'mails'>> {
  readonly config: Pick<Config, 'issuer'>
  readonly rootKeys: RootKeys
  readonly keys: Pick<KeyRing, 'readRootKeyId'>
  readonly clients: { readonly registry: Registry }
}

/** Registers a client (RFC 7591 §3.1). Throws `invalid_token` for a registration token that is none. */
export async function register(
  ctx: RegistrationContext,
  authorization: string | undefined,
  said: () => SaidMetadata,
  caller: RequestOrigin,
): Promise<Registering> {
  const token = bearerOf(authorization)
  const { id } = (await openValue(ctx, 'registration token', ctx.config.issuer, token)) ?? {}
  const tokenId = typeof id === 'string' ? parseUuid(id) : undefined
  if (!tokenId) throw refusal('it is no registration token of this server')
  const made = registering(said(), ctx.clock.now())
  const { id: clientId, claimed_name, redirect_uris } = made.row
  const detail = { made_by: 'registration', registration_token: id, claimed_name, redirect_uris }
  const isMade = await record(byNobody(ctx, caller), { event: 'client_created', clientId, detail }, db =>
    registerClient(db, tokenId, made.row),
  )
  if (!isMade) throw refusal('it was deleted, has expired, or has made as many clients as it may')
  await untilAllKnow(ctx)
  return made
}

/**
 * The client whose registration this is (RFC 7592 §2). Throws `invalid_token`, also for a client that there
 * is not (RFC 7592 §2.1).
 */
export async function findRegistered(
  { db, clients: { registry } }: Pick<RegistrationContext, 'db' | 'clients'>,
  authorization: string | undefined,
  clientId: unknown,
): Promise<Client> {
  const hash = hashSecret(bearerOf(authorization))
  const client = typeof clientId === 'string' ? await registry.findClient(clientId) : undefined
  if (!client?.registration_hash || !isSameHash(hash, client.registration_hash))
    throw refusal('it is not the token of that registration')
  if (client.disabled_at !== null) throw refusal('the client is disabled')
  // It may have replaced its registration just now, at another instance.
  const row = await findClient(db, client.id)
  if (!row) throw refusal('the client was deleted')
  return { ...client, ...documentColumns(row) }
}

/** Replaces what a client is registered as (RFC 7592 §2.2). Its sessions live on. */
export async function reregister(
  ctx: RegistrationContext,
  client: Client,
  said: SaidMetadata,
  caller: RequestOrigin,
): Promise<Client> {
  const columns = registeredAnew(client, said)
  const names = (Object.keys(columns) as (keyof DocumentColumns)[]).filter(
    name => columns[name] !== client[name],
  )
  if (names.length === 0) return client
  const detail = Object.fromEntries(names.map(name => [name, { from: client[name], to: columns[name] }]))
  const changed = { event: 'client_changed', clientId: client.id, detail } as const
  const { registration_hash } = client
  const isChanged = await record(byClient(ctx, client.id, caller), changed, db =>
    changeClient(db, client.id, columns, { registration_hash, disabled_at: null }),
  )
  if (!isChanged) throw refusal('the client was deleted or disabled meanwhile')
  await untilAllKnow(ctx)
  return { ...client, ...columns }
}

/** The bearer token of a request. Throws `invalid_token` where there is none. */
export function bearerOf(authorization: string | undefined): string {
  const [, token] = /^bearer +([\w.~+/-]+=*) *$/i.exec(authorization ?? '') ?? []
  if (token === undefined) throw refusal('there is no bearer token')
  return token
}

const refusal = (cause: string) =>
  new OAuthError(
    'invalid_token',
    'the token is missing, not valid here, or has made as many clients as it may',
    { cause },
  )
