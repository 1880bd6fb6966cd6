import type { Transaction } from 'kysely'
import { raiseRevision } from '../installation/installation.ts'
import type { Tables } from '../schema.ts'
import type { Writer } from '../writer.ts'
import { refuseWrites, stopWrites } from './changes.ts'
import { CopyError, type Copy } from './copy.ts'
import { drainChanges } from './drain.ts'
import {
  anyTable,
  continueNumbers,
  copiedTables,
  countRowsOf,
  rowDigest,
  writeRows,
  type AnyTable,
} from './tables.ts'

/**
 * The last part, while no other transaction may write: the changes since, and the small tables. When all is
 * over there, counted and compared, the first database is marked as moved in the same transaction, and
 * refuses every write from then on. On any error nothing has happened, and the servers go on. Answers how
 * many rows each table has, in both databases; `onStop` is told when writes have stopped.
 */
export async function moveInstallation(
  copy: Copy,
  now: number,
  onStop: () => void = () => {},
): Promise<Readonly<Record<string, number>>> {
  const { from, to } = copy
  return from.transact(async transaction => {
    await stopWrites(transaction, from.engine)
    onStop()
    const [source, target] = [anyTable(transaction), anyTable(to.sql)]
    await drainChanges(copy, source, true)
    for (const { name, isLarge } of copiedTables) {
      if (!isLarge) await copyWhole(source, target, name)
    }
    const rows = await compareCounts(source, target)
    await continueNumbers(to)
    await markMoved(transaction, copy, now)
    return rows
  })
}

/**
 * The other database may be served from now on. Also finishes a move that was interrupted after its commit.
 */
export async function openMoved({ to }: { readonly to: Writer }): Promise<void> {
  await to.transact(async transaction => {
    await transaction.deleteFrom('copy_progress').execute()
    const { numDeletedRows } = await transaction.deleteFrom('copies').executeTakeFirstOrThrow()
    return numDeletedRows > 0n
  })
}

async function copyWhole(source: AnyTable, target: AnyTable, name: keyof Tables): Promise<void> {
  const table = copiedTables.find(copied => copied.name === name)
  if (!table) throw new Error('unreachable: only tables that are copied come here')
  const rows = await source.selectFrom(name).selectAll().execute()
  await target.deleteFrom(name).execute()
  if (rows.length > 0) await writeRows(target, table, rows)
  const digests = async (sql: AnyTable) =>
    (await sql.selectFrom(name).selectAll().execute()).map(rowDigest).sort().join()
  if ((await digests(source)) !== (await digests(target))) {
    throw new CopyError(`the table ${name} is not the same in the other database; nothing was moved`)
  }
}

async function compareCounts(source: AnyTable, target: AnyTable): Promise<Record<string, number>> {
  const rows: Record<string, number> = {}
  for (const { name } of copiedTables) {
    const [here, there] = [await countRowsOf(source, name), await countRowsOf(target, name)]
    if (here !== there) {
      throw new CopyError(
        `${name} has ${here} rows here and ${there} in the other database; nothing was moved`,
      )
    }
    rows[name] = here
  }
  return rows
}

async function markMoved(transaction: Transaction<Tables>, { from }: Copy, now: number): Promise<void> {
  await transaction.updateTable('installation').set({ moved_at: now }).execute()
  await raiseRevision(transaction)
  await transaction.deleteFrom('copy_changes').execute()
  // The triggers that note changes stay where they are: to drop one takes a lock that a waiting refresh
  // stands in the way of, and behind those that refuse every write they have nothing to note any more.
  await refuseWrites(transaction, from.engine)
}
