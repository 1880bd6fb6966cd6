import type { Transaction } from 'kysely'
import type { Database } from '../database.ts'
import { raiseRevision, setIssuer } from '../installation/installation.ts'
import type { RootKeyTable, SigningKeyTable, Tables } from '../schema.ts'
import { forgetDeliveries } from '../push/delivery-cursors.ts'
import { endEverySession, type EveryEnding } from '../sessions/endings.ts'
import type { Writer } from '../writer.ts'
import { replaceAllKeys } from './signing-keys.ts'

/** The root keys that this database has been under, the current one last. */
export async function listRootKeys({ sql }: Database): Promise<RootKeyTable[]> {
  return sql.selectFrom('root_keys').selectAll().orderBy('current_from').execute()
}

/**
 * Names the root key that the database shall be under, or throws; `past` are the ids of those that it was
 * under before.
 */
export type ChooseRootKey = (currentId: string, past: ReadonlySet<string>) => string

export interface RootKeyChange {
  readonly from: string
  readonly to: string
}

/**
 * Puts the database under another root key. Of several that do this at once, each sees what the one before it
 * has done; where the database undoes it for the sake of another, `choose` is called again.
 */
export async function changeRootKey(
  { transact }: Writer,
  now: number,
  choose: ChooseRootKey,
): Promise<RootKeyChange> {
  return transact(transaction => change(transaction, now, choose))
}

export interface Beginning {
  readonly now: number
  readonly reason: string
  readonly choose: ChooseRootKey
  /** Makes the rows of the new keys, when the root key has been chosen. */
  readonly publish: () => readonly SigningKeyTable[]
}

/** The sessions that have ended have to get their end written yet. */
export interface Begun extends RootKeyChange, EveryEnding {}

/**
 * Like `changeRootKey`, and revokes all signing keys for new ones that sign at once, and ends all sessions by
 * raising the epoch of every client: all or nothing.
 */
export async function beginAnew({ transact }: Writer, beginning: Beginning): Promise<Begun> {
  return transact(transaction => begin(transaction, beginning))
}

export interface CopyBeginning extends Beginning {
  /** The issuer that the copy has with all else. */
  readonly from: string
  readonly to: string
  /** Makes a new secret for a client, and returns its hash. */
  readonly secretHashOf: (clientId: string) => Buffer
}

/**
 * Like `beginAnew`, for a copy that becomes an installation of its own: it has another issuer, no signing key
 * of the original is left in it, not even sealed, and every client that has a secret gets another one. All or
 * nothing; false when its issuer is not `from` any more.
 */
export async function beginAsCopy(
  { transact }: Writer,
  { from, to, secretHashOf, ...beginning }: CopyBeginning,
): Promise<Begun | false> {
  return transact(async transaction => {
    if (!(await setIssuer(transaction, from, to))) return false
    await transaction.deleteFrom('signing_keys').execute()
    await transaction.deleteFrom('token_promises').execute()
    // The original sends them, if they were not sent yet.
    await transaction.deleteFrom('outbox').execute()
    await forgetDeliveries(transaction)
    // They may hold secrets of its clients.
    await transaction.deleteFrom('idempotency_keys').execute()
    // Receivers would be told of what happens in the copy.
    for (const table of ['streams', 'stream_subjects', 'deliveries', 'receivers'] as const)
      await transaction.deleteFrom(table).execute()
    // Under a root key that the copy loses. The original goes on with them.
    await transaction.deleteFrom('job_pieces').execute()
    const withSecret = await transaction
      .selectFrom('clients')
      .select('id')
      .where('auth_method', '=', 'client_secret')
      .execute()
    await transaction
      .updateTable('clients')
      .set({ old_secret_hash: null, old_secret_expires_at: null })
      .execute()
    for (const { id } of withSecret) {
      await transaction
        .updateTable('clients')
        .set({ secret_hash: secretHashOf(id), credentials_set_at: beginning.now })
        .where('id', '=', id)
        .execute()
    }
    return begin(transaction, beginning)
  })
}

async function begin(
  transaction: Transaction<Tables>,
  { now, reason, choose, publish }: Beginning,
): Promise<Begun> {
  const changed = await change(transaction, now, choose)
  await replaceAllKeys(transaction, { now, reason, keys: publish() })
  return { ...changed, ...(await endEverySession(transaction, { reason, now })) }
}

async function change(
  transaction: Transaction<Tables>,
  now: number,
  choose: ChooseRootKey,
): Promise<RootKeyChange> {
  // First, since it locks the row, on PostgreSQL too.
  await raiseRevision(transaction)
  const { root_key_id: from } = await transaction
    .selectFrom('installation')
    .select('root_key_id')
    .executeTakeFirstOrThrow()
  const past = await transaction
    .selectFrom('root_keys')
    .select('id')
    .where('current_until', 'is not', null)
    .execute()
  const to = choose(from, new Set(past.map(({ id }) => id)))
  if (to === from) return { from, to }
  await transaction.updateTable('installation').set({ root_key_id: to }).execute()
  await transaction
    .updateTable('root_keys')
    .set({ current_until: now })
    .where('current_until', 'is', null)
    .execute()
  await transaction
    .insertInto('root_keys')
    .values({ id: to, current_from: now, current_until: null })
    .onConflict(conflict => conflict.column('id').doUpdateSet({ current_from: now, current_until: null }))
    .execute()
  return { from, to }
}

export interface RootKeyUse {
  /** Passwords that cannot be checked without it. */
  readonly users: number
  /** Authenticator apps whose codes cannot be checked without it. */
  readonly totps: number
  /** Living sessions whose refresh token may still be under it. */
  readonly sessions: number
  /** When the last of these sessions ends at the latest; null if there is none. */
  readonly sessionsEndAt: number | null
  readonly signingKeys: number
  /** Mails of the outbox. */
  readonly mails: number
  /** Streams to which nothing is pushed without it. */
  readonly streams: number
}

/** How long after a change servers may still have made tokens under the root key before. */
const lagSeconds = 60

/**
 * Counts uses of a root key that the database was under until `until`. Looks at every session: it may take a
 * while.
 */
export async function findRootKeyUse(
  { sql }: Database,
  { id, until, now }: { readonly id: string; readonly until: number; readonly now: number },
): Promise<RootKeyUse> {
  const changedAt = until + lagSeconds
  const { users } = await sql
    .selectFrom('users')
    .select(({ fn }) => fn.countAll<number>().as('users'))
    .where('root_key_id', '=', id)
    .executeTakeFirstOrThrow()
  const { totps } = await sql
    .selectFrom('totps')
    .select(({ fn }) => fn.countAll<number>().as('totps'))
    .where('root_key_id', '=', id)
    .executeTakeFirstOrThrow()
  const { signingKeys } = await sql
    .selectFrom('signing_keys')
    .select(({ fn }) => fn.countAll<number>().as('signingKeys'))
    .where('root_key_id', '=', id)
    .where('revoked_at', 'is', null)
    .executeTakeFirstOrThrow()
  const { mails } = await sql
    .selectFrom('outbox')
    .select(({ fn }) => fn.countAll<number>().as('mails'))
    .where('root_key_id', '=', id)
    .executeTakeFirstOrThrow()
  const { streams } = await sql
    .selectFrom('streams')
    .select(({ fn }) => fn.countAll<number>().as('streams'))
    .where('root_key_id', '=', id)
    .executeTakeFirstOrThrow()
  const { sessions, sessionsEndAt } = await sql
    .selectFrom('sessions')
    .innerJoin('clients', 'clients.id', 'sessions.client_id')
    .innerJoin('users', 'users.id', 'sessions.user_id')
    .select(({ fn }) => [
      fn.countAll<number>().as('sessions'),
      fn.max('sessions.absolute_expires_at').as('sessionsEndAt'),
    ])
    .where('sessions.revoked_at', 'is', null)
    .where('sessions.expires_at', '>', now)
    .whereRef('sessions.client_epoch', '=', 'clients.epoch')
    .whereRef('sessions.user_epoch', '=', 'users.epoch')
    // A refresh token moves on to the current root key with each rotation; one that is reused never does.
    .where(eb =>
      eb.or([
        eb('sessions.rotated_at', '<=', changedAt),
        eb.and([eb('clients.refresh_policy', '=', 'reuse'), eb('sessions.auth_time', '<=', changedAt)]),
      ]),
    )
    .executeTakeFirstOrThrow()
  return { users, totps, signingKeys, mails, streams, sessions, sessionsEndAt }
}

/** How many passwords need a root key, by its id. */
export async function countUsersByRootKey({ sql }: Database): Promise<ReadonlyMap<string, number>> {
  const rows = await sql
    .selectFrom('users')
    .select(({ fn }) => ['root_key_id', fn.countAll<number>().as('users')])
    // One who has been invited, and has not come yet, has none.
    .where('password_hash', '!=', '')
    .groupBy('root_key_id')
    .execute()
  return new Map(rows.map(({ root_key_id, users }) => [root_key_id, Number(users)]))
}

/** How many authenticator apps need a root key, by its id. */
export async function countTotpsByRootKey({ sql }: Database): Promise<ReadonlyMap<string, number>> {
  const rows = await sql
    .selectFrom('totps')
    .select(({ fn }) => ['root_key_id', fn.countAll<number>().as('totps')])
    .groupBy('root_key_id')
    .execute()
  return new Map(rows.map(({ root_key_id, totps }) => [root_key_id, Number(totps)]))
}
