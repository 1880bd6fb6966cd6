import type { Kysely, Transaction } from 'kysely'
import type { Database } from '../database.ts'
import type { ClientTable, ConsentTable, Tables, UserTable } from '../schema.ts'
import type { End } from '../sessions/end-reasons.ts'
import { writeEnds } from '../sessions/revocations.ts'
import { take } from '../steps.ts'
import type { Writer } from '../writer.ts'
import { withClients, type EndedSessionRow } from './sign-in-ends.ts'

/** What is asked, or said, about: a user and a client, and the resource that the request names. */
export interface ConsentKey {
  readonly userId: Buffer
  readonly clientId: string
  /** Null where it names none. */
  readonly resource: string | null
}

/** What the user has allowed the client for this resource; undefined for nothing. */
export async function findConsent({ sql }: Database, key: ConsentKey): Promise<ConsentTable | undefined> {
  return sql
    .selectFrom('consents')
    .selectAll()
    .where('user_id', '=', key.userId)
    .where('client_id', '=', key.clientId)
    .where('resource', '=', key.resource ?? '')
    .executeTakeFirst()
}

/** What a user has allowed clients, each with its client, in the order of their ids. */
export async function listConsents({ sql }: Database, userId: Buffer): Promise<readonly ListedConsent[]> {
  return sql
    .selectFrom('consents')
    .innerJoin('clients', 'clients.id', 'consents.client_id')
    .select(['client_id', 'client_name', 'operator', 'client_uri', 'redirect_uris', 'resources'])
    .select(['resource', 'consents.scope', 'authorization_details', 'granted_at'])
    .where('user_id', '=', userId)
    .orderBy('client_id')
    .orderBy('resource')
    .execute()
}

export type ListedConsent = Pick<
  ConsentTable,
  'client_id' | 'resource' | 'scope' | 'authorization_details' | 'granted_at'
> &
  Pick<ClientTable, 'client_name' | 'operator' | 'client_uri' | 'redirect_uris' | 'resources'>

export interface NewConsent {
  /** Of a new row. */
  readonly id: Buffer
  /** As they were when the user was asked. */
  readonly user: Pick<UserTable, 'id' | 'epoch'>
  readonly client: { readonly id: string; readonly epoch: number }
  readonly resource: string | null
  readonly scope: readonly string[]
  /** Authorization details, each in JSON, and how many are kept with those that were allowed before. */
  readonly details?: { readonly added: readonly string[]; readonly max: number }
  readonly now: number
}

/**
 * Remembers what a user has allowed, beside what was allowed before; returns all of it. Undefined when the
 * epoch of the user or the client was raised since the user was asked: then nothing is remembered.
 */
export async function rememberConsent(
  { engine, transact }: Writer,
  consent: NewConsent,
): Promise<ConsentTable | undefined> {
  return transact(async transaction =>
    (await lockAsked(transaction, engine, consent)) ? addConsent(transaction, engine, consent) : undefined,
  )
}

/**
 * Whether user and client are as they were when the user was asked. Both rows are locked on PostgreSQL, so
 * nothing is remembered of those who are deleted.
 */
export async function lockAsked(
  transaction: Transaction<Tables>,
  engine: Database['engine'],
  { user, client }: Pick<NewConsent, 'user' | 'client'>,
): Promise<boolean> {
  const asked = await transaction
    .selectFrom('clients')
    .innerJoin('users', join => join.onTrue())
    .select('clients.id')
    .where('clients.id', '=', client.id)
    .where('clients.epoch', '=', client.epoch)
    .where('clients.disabled_at', 'is', null)
    .where('users.id', '=', user.id)
    .where('users.epoch', '=', user.epoch)
    .where('users.disabled_at', 'is', null)
    .$if(engine === 'postgres', query => query.forShare())
    .executeTakeFirst()
  return asked !== undefined
}

/** The part of a transaction that remembers it, after `lockAsked`; returns all that the user has allowed. */
export async function addConsent(
  transaction: Transaction<Tables>,
  engine: Database['engine'],
  { id, user, client, resource, scope, details, now }: NewConsent,
): Promise<ConsentTable> {
  const key = { user_id: user.id, client_id: client.id, resource: resource ?? '' }
  // Waits for another one that is being added.
  await transaction
    .insertInto('consents')
    .values({ id, ...key, scope: scope.join(' '), granted_at: now })
    .onConflict(conflict => conflict.doNothing())
    .execute()
  const remembered = await lockConsent(transaction, key, engine === 'postgres')
  const { scope: before } = remembered
  const all = [...new Set([...before.split(' ').filter(one => one !== ''), ...scope])].join(' ')
  return transaction
    .updateTable('consents')
    .set({ scope: all, granted_at: now })
    .set(details ? { authorization_details: latest(remembered, details) } : {})
    .where('id', '=', remembered.id)
    .returningAll()
    .executeTakeFirstOrThrow()
}

/** Those of now, and of those before them as many as are kept. */
function latest(
  { authorization_details: before }: Pick<ConsentTable, 'authorization_details'>,
  { added, max }: NonNullable<NewConsent['details']>,
): string {
  const earlier = JSON.parse(before ?? '[]') as readonly unknown[]
  const all = new Set([...added, ...earlier.map(detail => JSON.stringify(detail))])
  return `[${[...all].slice(0, max).join(',')}]`
}

async function lockConsent(
  transaction: Transaction<Tables>,
  { user_id, client_id, resource }: Pick<ConsentTable, 'user_id' | 'client_id' | 'resource'>,
  isPostgres: boolean,
): Promise<ConsentTable> {
  return transaction
    .selectFrom('consents')
    .selectAll()
    .where('user_id', '=', user_id)
    .where('client_id', '=', client_id)
    .where('resource', '=', resource)
    .$if(isPostgres, query => query.forUpdate())
    .executeTakeFirstOrThrow()
}

/**
 * Forgets what a user has allowed a client, for any resource, and ends the user's sessions through it;
 * returns these. Undefined when nothing was allowed.
 */
export async function withdrawConsent(
  { transact }: Writer,
  { userId, clientId }: Pick<ConsentKey, 'userId' | 'clientId'>,
  end: End,
): Promise<readonly EndedSessionRow[] | undefined> {
  return transact(async transaction => {
    const { numDeletedRows } = await transaction
      .deleteFrom('consents')
      .where('user_id', '=', userId)
      .where('client_id', '=', clientId)
      .executeTakeFirstOrThrow()
    if (numDeletedRows === 0n) return undefined
    const living = await transaction
      .selectFrom('sessions')
      .select(['id', 'client_id'])
      .where('user_id', '=', userId)
      .where('client_id', '=', clientId)
      .where('revoked_at', 'is', null)
      .execute()
    const ids = living.map(session => session.id)
    const ended = await take(transaction, writeEnds(transaction, ids, end))
    return withClients(living, ended)
  })
}

/** In the transaction that deletes the user. */
export async function forgetConsentsOfUser(transaction: Kysely<Tables>, userId: Buffer): Promise<void> {
  await transaction.deleteFrom('consents').where('user_id', '=', userId).execute()
}

/** In the transaction that deletes the client: one of the same id that is made later is another. */
export async function forgetConsentsOfClient(transaction: Kysely<Tables>, clientId: string): Promise<void> {
  await transaction.deleteFrom('consents').where('client_id', '=', clientId).execute()
}
