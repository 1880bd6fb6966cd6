import type { Transaction } from 'kysely'
import type { SignInTable, Tables } from '../schema.ts'

/** Which rows are looked at in one step, and which of them deleted. */
export interface Sweep {
  /** The last row that was looked at; null to begin. */
  readonly cursor: Buffer | null
  /** Rows that have ended by then are deleted. */
  readonly endedBy: number
  readonly rowsMax: number
  readonly deletedMax: number
}

/**
 * Looks at the next sign-ins in the order of their ids, and deletes those that expired long ago or that an
 * epoch of their user has ended: sessions that were to end with them have ended by themselves. Returns the
 * last that it has looked at; null once it has seen all.
 */
export async function sweepSignIns(
  transaction: Transaction<Tables>,
  { cursor, endedBy, rowsMax, deletedMax }: Sweep,
): Promise<Buffer | null> {
  const rows = await transaction
    .selectFrom('sign_ins')
    .leftJoin('users', 'users.id', 'sign_ins.user_id')
    .select(['sign_ins.id', 'expires_at', 'user_epoch', 'users.epoch as present_user_epoch'])
    .where('sign_ins.id', '>', cursor ?? Buffer.alloc(16))
    .orderBy('sign_ins.id')
    .limit(rowsMax)
    .execute()
  const isOfThisEpoch = (row: (typeof rows)[number]) => row.user_epoch === row.present_user_epoch
  const dead = rows.filter(row => !isOfThisEpoch(row) || row.expires_at <= endedBy).slice(0, deletedMax)
  await deleteExpired(transaction, dead.filter(isOfThisEpoch), endedBy)
  await deleteSignIns(
    transaction,
    dead.filter(row => !isOfThisEpoch(row)),
  )
  // The next step looks again at what is beyond the limit.
  const last = dead.length === deletedMax ? dead.at(-1) : rows.at(-1)
  const isLast = rows.length < rowsMax && last === rows.at(-1)
  return isLast ? null : (last?.id ?? null)
}

type Id = Pick<SignInTable, 'id'>

/** One that was renewed since it was looked at stays. */
async function deleteExpired(
  transaction: Transaction<Tables>,
  signIns: readonly Id[],
  endedBy: number,
): Promise<void> {
  if (signIns.length === 0) return
  const ids = signIns.map(({ id }) => id)
  await transaction.deleteFrom('sign_ins').where('id', 'in', ids).where('expires_at', '<=', endedBy).execute()
}

async function deleteSignIns(transaction: Transaction<Tables>, signIns: readonly Id[]): Promise<void> {
  if (signIns.length === 0) return
  const ids = signIns.map(({ id }) => id)
  await transaction.deleteFrom('sign_ins').where('id', 'in', ids).execute()
}
