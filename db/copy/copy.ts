import { randomUUID } from 'node:crypto'
import type { Database } from '../database.ts'
import type { CopyTable } from '../schema.ts'
import { noteChanges, stopNotingChanges } from './changes.ts'
import { anyTable, countRowsOf } from './tables.ts'

/** A copy cannot go on; the message says why and what to do. */
export class CopyError extends Error {
  override readonly name = 'CopyError'
}

/**
 * A move of the installation from one database to another, while servers go on with the first. Large tables
 * are copied page by page; triggers note the changes, which are copied again. The rest is copied at the end,
 * while writes are stopped. Each step may be interrupted and done once more.
 */
export interface Copy {
  readonly id: string
  readonly from: Database
  readonly to: Database
}

/** The record of a copy from this database or into it. */
export async function findCopy({ sql }: Database): Promise<CopyTable | undefined> {
  return sql.selectFrom('copies').selectAll().executeTakeFirst()
}

/**
 * Begins a copy, or goes on with the one that was begun between these two. Rejects with `CopyError` when
 * either has another part already. Both have the present schema.
 */
export async function beginCopy(from: Database, to: Database, now: number): Promise<Copy> {
  const [source, target] = [await findCopy(from), await findCopy(to)]
  if (source && source.role !== 'source') throw new CopyError('a copy into this database is not finished')
  if (source && source.id === target?.id) return { id: source.id, from, to }
  if (source) {
    throw new CopyError(
      'a copy of this database to another one is not finished: go on with that, or give it up with --cancel',
    )
  }
  // One that was interrupted before it had begun at both ends has left nothing there but its name.
  const hasBegun = (await countRowsOf(anyTable(to.sql), 'copy_progress')) > 0
  if (target && (target.role !== 'target' || hasBegun)) {
    throw new CopyError(
      'the other database has the part of a copy from another one: empty it, or name another database',
    )
  }
  const isTaken = (await countRowsOf(anyTable(to.sql), 'installation')) > 0
  if (isTaken) throw new CopyError('the other database has an installation already: name an empty one')

  const id = randomUUID()
  await to.transact(async transaction => {
    await transaction.deleteFrom('copies').execute()
    await transaction.insertInto('copies').values({ id, role: 'target', began_at: now }).execute()
  })
  await from.transact(async transaction => {
    await transaction.insertInto('copies').values({ id, role: 'source', began_at: now }).execute()
    await noteChanges(transaction, from.engine)
  })
  return { id, from, to }
}

/**
 * Gives a copy up: changes are noted no more. The copied rows stay where they are, of no use to anybody.
 * Rejects with `CopyError` once the installation has been moved: then the other database is the one that
 * counts.
 */
export async function cancelCopy({ transact, engine }: Database): Promise<boolean> {
  return transact(async transaction => {
    const record = await transaction.selectFrom('installation').select('moved_at').executeTakeFirst()
    if (record && record.moved_at !== null) {
      throw new CopyError(
        'the installation has been moved to the other database already, and there is nothing to give up: keep that one. ' +
          'If it does not serve yet, the same `mintmark db copy --to …` as before finishes the move',
      )
    }
    const { numDeletedRows } = await transaction
      .deleteFrom('copies')
      .where('role', '=', 'source')
      .executeTakeFirstOrThrow()
    await stopNotingChanges(transaction, engine)
    await transaction.deleteFrom('copy_changes').execute()
    return numDeletedRows === 1n
  })
}
