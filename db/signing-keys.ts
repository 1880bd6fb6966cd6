import type { Database, SigningKeyTable } from './database.ts'
import { raiseRevision } from './installation.ts'

/** All keys of the ring, the oldest first; also those that were revoked and have not been forgotten yet. */
export async function listSigningKeys({ sql }: Database): Promise<SigningKeyTable[]> {
  return sql.selectFrom('signing_keys').selectAll().orderBy('published_at').orderBy('kid').execute()
}

/** Publishes a key; false when its algorithm has a next one already, or an active one where this would be one. */
export async function insertSigningKey({ transact }: Database, key: SigningKeyTable): Promise<boolean> {
  return transact(async transaction => {
    const { numInsertedOrUpdatedRows } = await transaction
      .insertInto('signing_keys')
      .values(key)
      .onConflict(conflict => conflict.doNothing())
      .executeTakeFirstOrThrow()
    if (numInsertedOrUpdatedRows !== 1n) return false
    await raiseRevision(transaction)
    return true
  })
}

/** The next key becomes active and the active one retires, both or neither; false when another instance was first. */
export async function promoteSigningKey(
  { transact }: Database,
  { from, to, now, verifyUntil }: { from: string | undefined; to: string; now: number; verifyUntil: number },
): Promise<boolean> {
  return transact(async transaction => {
    if (from !== undefined) {
      const retired = await transaction
        .updateTable('signing_keys')
        .set({ retired_at: now })
        .where('kid', '=', from)
        .where('activated_at', 'is not', null)
        .where('retired_at', 'is', null)
        .executeTakeFirstOrThrow()
      if (retired.numUpdatedRows !== 1n) return false
    }
    const promoted = await transaction
      .updateTable('signing_keys')
      .set({ activated_at: now, verify_until: verifyUntil })
      .where('kid', '=', to)
      .where('activated_at', 'is', null)
      .where('revoked_at', 'is', null)
      .executeTakeFirstOrThrow()
    // Nothing was retired without a successor: the error undoes it.
    if (promoted.numUpdatedRows !== 1n) throw new LostPromotion()
    await raiseRevision(transaction)
    return true
  }).catch(error => {
    if (error instanceof LostPromotion) return false
    throw error
  })
}

class LostPromotion extends Error {
  override readonly name = 'LostPromotion'
}

/** Promises that a key stays published until then; never takes an earlier promise back. */
export async function extendSigningKey(
  { sql }: Database,
  kid: string,
  verifyUntil: number,
): Promise<boolean> {
  const { numUpdatedRows } = await sql
    .updateTable('signing_keys')
    .set({ verify_until: verifyUntil })
    .where('kid', '=', kid)
    .where('verify_until', '<', verifyUntil)
    .where('retired_at', 'is', null)
    .executeTakeFirstOrThrow()
  return numUpdatedRows === 1n
}

/** Asks for a rotation as soon as the next key may sign; false when the key is not active any more. */
export async function requestRotation({ sql }: Database, kid: string, now: number): Promise<boolean> {
  const { numUpdatedRows } = await sql
    .updateTable('signing_keys')
    .set({ rotation_requested_at: now })
    .where('kid', '=', kid)
    .where('activated_at', 'is not', null)
    .where('retired_at', 'is', null)
    .executeTakeFirstOrThrow()
  return numUpdatedRows === 1n
}

/** Forgets a key that never signed, or whose time is up; false when it is still needed, or gone already. */
export async function deleteSigningKey({ transact }: Database, kid: string, now: number): Promise<boolean> {
  return transact(async transaction => {
    const { numDeletedRows } = await transaction
      .deleteFrom('signing_keys')
      .where('kid', '=', kid)
      .where(({ and, or, eb }) =>
        or([
          eb('activated_at', 'is', null),
          and([
            eb('verify_until', '<=', now),
            or([eb('retired_at', 'is not', null), eb('revoked_at', 'is not', null)]),
          ]),
        ]),
      )
      .executeTakeFirstOrThrow()
    if (numDeletedRows !== 1n) return false
    await raiseRevision(transaction)
    return true
  })
}
