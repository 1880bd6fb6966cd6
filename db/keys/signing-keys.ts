import type { Transaction } from 'kysely'
import type { Database } from '../database.ts'
import { raiseRevision } from '../installation/installation.ts'
import type { SigningKeyTable, Tables } from '../schema.ts'
import type { Writer } from '../writer.ts'
import { isUnused } from './used-algs.ts'

/** All keys of the ring, the oldest first; also those that were revoked and have not been forgotten yet. */
export async function listSigningKeys({ sql }: Database): Promise<SigningKeyTable[]> {
  return sql.selectFrom('signing_keys').selectAll().orderBy('published_at').orderBy('kid').execute()
}

/** Publishes the first keys, all or none; false when there are some. `otherwise` signs where none fits. */
export async function insertFirstSigningKeys(
  db: Database,
  keys: readonly SigningKeyTable[],
  otherwise: string,
): Promise<boolean> {
  return allOrNothing(db, async transaction => {
    const earlier = await transaction.selectFrom('signing_keys').select('kid').executeTakeFirst()
    if (earlier) return false
    for (const key of keys) if (!(await addKey(transaction, key))) return false
    // One that was added while the keys were made may have an algorithm that none of them is for.
    await transaction
      .updateTable('resources')
      .set({ previous_alg: otherwise })
      .where('alg', 'not in', signingAlgs(transaction))
      .execute()
    return true
  })
}

/** Publishes a next key; false when its algorithm has one already. */
export async function insertSigningKey(db: Database, key: SigningKeyTable): Promise<boolean> {
  return allOrNothing(db, transaction => addKey(transaction, key))
}

export interface Promotion {
  /** The active key, if there is one. */
  readonly from: string | undefined
  /** The next key. */
  readonly to: string
  /** A new next key. */
  readonly successor: SigningKeyTable
  readonly now: number
}

/**
 * The next key becomes active, the active one retires and a new next one is published: all or nothing, so
 * that there always is one that signs and one that follows. False when another instance was first.
 */
export async function promoteSigningKey(db: Writer, promotion: Promotion): Promise<boolean> {
  const { from, to, successor, now } = promotion
  return allOrNothing(
    db,
    async transaction =>
      (from === undefined || (await retire(transaction, from, now))) &&
      (await activate(transaction, to, now)) &&
      (await addKey(transaction, successor)),
  )
}

/** Retires an active key without a successor; false when its algorithm is used, or it is not active. */
export async function retireSigningKey(
  db: Database,
  { kid, alg, now }: { readonly kid: string; readonly alg: string; readonly now: number },
): Promise<boolean> {
  return allOrNothing(db, async transaction => {
    return (await isUnused(transaction, alg)) && (await retire(transaction, kid, now))
  })
}

/** Asks for a rotation as soon as the next key may sign; false when the key is not active any more. */
export async function requestRotation(db: Writer, kid: string, now: number): Promise<boolean> {
  return allOrNothing(db, async transaction => {
    const { numUpdatedRows } = await transaction
      .updateTable('signing_keys')
      .set({ rotation_requested_at: now })
      .where('kid', '=', kid)
      .where('activated_at', 'is not', null)
      .where('retired_at', 'is', null)
      .executeTakeFirstOrThrow()
    return numUpdatedRows === 1n
  })
}

/** The phase of a key, as its times tell it. */
export type Phase = Pick<SigningKeyTable, 'kid' | 'activated_at' | 'retired_at'>

/**
 * Counts how long a key has been seen in its phase. Each count adds to the last one, so that all of them
 * together never exceed the time that has passed. False when another instance has counted since, or the phase
 * is over.
 */
export async function witnessSigningKey(
  { sql }: Database,
  { kid, activated_at, retired_at }: Phase,
  { from, to }: { readonly from: number; readonly to: number },
): Promise<boolean> {
  const { numUpdatedRows } = await sql
    .updateTable('signing_keys')
    .set({ witnessed_seconds: to })
    .where('kid', '=', kid)
    .where('activated_at', activated_at === null ? 'is' : '=', activated_at)
    .where('retired_at', retired_at === null ? 'is' : '=', retired_at)
    .where('witnessed_seconds', '=', from)
    .executeTakeFirstOrThrow()
  return numUpdatedRows === 1n
}

/** How long a key has been seen in its phase; undefined when it is gone. */
export async function findWitnessed({ sql }: Database, kid: string): Promise<number | undefined> {
  const row = await sql
    .selectFrom('signing_keys')
    .select('witnessed_seconds')
    .where('kid', '=', kid)
    .executeTakeFirst()
  return row?.witnessed_seconds
}

/** Forgets a key that never signed, or whose time is up; false when it is still needed, or gone already. */
export async function deleteSigningKey(db: Database, kid: string, now: number): Promise<boolean> {
  return allOrNothing(db, async transaction => {
    const { numDeletedRows } = await transaction
      .deleteFrom('signing_keys')
      .where('kid', '=', kid)
      .where(({ and, or, eb, ref }) =>
        or([
          eb('activated_at', 'is', null),
          and([
            eb('retired_at', 'is not', null),
            eb('verify_until', '<=', now),
            eb('verify_seconds', '<=', ref('witnessed_seconds')),
          ]),
        ]),
      )
      .executeTakeFirstOrThrow()
    if (numDeletedRows !== 1n) return false
    await transaction.deleteFrom('token_promises').where('kid', '=', kid).execute()
    return true
  })
}

export interface Revocation {
  readonly now: number
  readonly reason: string
  /** The next key that signs from now on, if the revoked one did. */
  readonly promoted: string | undefined
  /** The keys to publish anew: a next key, and an active one where there was no next. */
  readonly published: readonly SigningKeyTable[]
}

/** Revokes a key that is still in the phase in which it was seen, and puts others in its place. */
export async function revokeSigningKey(db: Writer, phase: Phase, revocation: Revocation): Promise<boolean> {
  const { now, reason, promoted, published } = revocation
  return allOrNothing(db, async transaction => {
    const { numUpdatedRows } = await transaction
      .updateTable('signing_keys')
      .set({ revoked_at: now, revoke_reason: reason })
      .set(eb => ({ retired_at: eb.fn.coalesce('retired_at', eb.val(now)), ...restartWitness(phase) }))
      .where('kid', '=', phase.kid)
      .where('activated_at', phase.activated_at === null ? 'is' : '=', phase.activated_at)
      .where('retired_at', phase.retired_at === null ? 'is' : '=', phase.retired_at)
      .where('revoked_at', 'is', null)
      .executeTakeFirstOrThrow()
    if (numUpdatedRows !== 1n) return false
    if (promoted !== undefined && !(await activate(transaction, promoted, now))) return false
    for (const key of published) if (!(await addKey(transaction, key))) return false
    return true
  })
}

/** A key that has not waited to leave yet begins to. */
function restartWitness({ retired_at }: Phase): { witnessed_seconds?: number } {
  return retired_at === null ? { witnessed_seconds: 0 } : {}
}

/** Revokes all keys that there are and publishes others, as part of a larger transaction. */
export async function replaceAllKeys(
  transaction: Transaction<Tables>,
  {
    now,
    reason,
    keys,
  }: { readonly now: number; readonly reason: string; readonly keys: readonly SigningKeyTable[] },
): Promise<void> {
  await transaction
    .updateTable('signing_keys')
    .set(eb => ({
      revoked_at: now,
      revoke_reason: reason,
      retired_at: eb.fn.coalesce('retired_at', eb.val(now)),
    }))
    .where('revoked_at', 'is', null)
    .execute()
  for (const key of keys) {
    if (!(await addKey(transaction, key))) throw new Error(`two of the new keys have one place: ${key.alg}`)
  }
  await takeUpAlgorithms(transaction)
}

/** Publishes a key, as part of a larger transaction; false when its place in the ring is taken. */
async function addKey(transaction: Transaction<Tables>, key: SigningKeyTable): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await transaction
    .insertInto('signing_keys')
    .values(key)
    .onConflict(conflict => conflict.doNothing())
    .executeTakeFirstOrThrow()
  return numInsertedOrUpdatedRows === 1n
}

/** The next key signs from now on, unless another one of its algorithm does. */
async function activate(transaction: Transaction<Tables>, kid: string, now: number): Promise<boolean> {
  const { numUpdatedRows } = await transaction
    .updateTable('signing_keys')
    .set({ activated_at: now })
    .where('kid', '=', kid)
    .where('alg', 'not in', signingAlgs(transaction))
    .where('activated_at', 'is', null)
    .where('revoked_at', 'is', null)
    .executeTakeFirstOrThrow()
  if (numUpdatedRows !== 1n) return false
  await takeUpAlgorithms(transaction)
  return true
}

/** Lets each resource have the algorithm that it was given, where a key of that signs by now. */
async function takeUpAlgorithms(transaction: Transaction<Tables>): Promise<void> {
  await transaction
    .updateTable('resources')
    .set({ previous_alg: null })
    .where('previous_alg', 'is not', null)
    .where('alg', 'in', signingAlgs(transaction))
    .execute()
}

/** The algorithms of which a key signs. */
export function signingAlgs(transaction: Transaction<Tables>) {
  return transaction
    .selectFrom('signing_keys')
    .select('alg')
    .where('activated_at', 'is not', null)
    .where('retired_at', 'is', null)
}

async function retire(transaction: Transaction<Tables>, kid: string, now: number): Promise<boolean> {
  const { numUpdatedRows } = await transaction
    .updateTable('signing_keys')
    .set({ retired_at: now, witnessed_seconds: 0 })
    .where('kid', '=', kid)
    .where('activated_at', 'is not', null)
    .where('retired_at', 'is', null)
    .executeTakeFirstOrThrow()
  return numUpdatedRows === 1n
}

/** Seals a key under another root key, if it still is under the one that it was opened with. */
export async function resealSigningKey(
  db: Database,
  { kid, root_key_id }: Pick<SigningKeyTable, 'kid' | 'root_key_id'>,
  sealed: Pick<SigningKeyTable, 'sealed_private_key' | 'root_key_id'>,
): Promise<boolean> {
  return allOrNothing(db, async transaction => {
    const { numUpdatedRows } = await transaction
      .updateTable('signing_keys')
      .set(sealed)
      .where('kid', '=', kid)
      .where('root_key_id', '=', root_key_id)
      .executeTakeFirstOrThrow()
    return numUpdatedRows === 1n
  })
}

/** Runs the work in a transaction, undone when the work answers false; else tells running servers. */
async function allOrNothing(
  db: Writer,
  work: (transaction: Transaction<Tables>) => Promise<boolean>,
): Promise<boolean> {
  try {
    await db.transact(async transaction => {
      // First, since on PostgreSQL this row's lock puts all changes of the ring in one order.
      await raiseRevision(transaction)
      if (!(await work(transaction))) throw new Undone()
      return true
    })
    return true
  } catch (error) {
    if (error instanceof Undone) return false
    throw error
  }
}

class Undone extends Error {
  override readonly name = 'Undone'
}
