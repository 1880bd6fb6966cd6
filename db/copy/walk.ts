import type { Database } from '../database.ts'
import { CopyError, type Copy } from './copy.ts'
import { drainChanges, requireNotes } from './drain.ts'
import {
  anyTable,
  countRowsOf,
  isClash,
  keyText,
  largeTables,
  pageSize,
  readByKeys,
  readPage,
  rowDigest,
  writeRows,
  type AnyTable,
  type CopiedTable,
  type Row,
} from './tables.ts'

/** How many rows there are to copy while servers go on. */
export async function countLarge({ sql }: Database): Promise<number> {
  let count = 0
  for (const { name } of largeTables) count += await countRowsOf(anyTable(sql), name)
  return count
}

/** Copies the large tables, from where it was interrupted. `tell` hears how many rows are done. */
export async function copyLarge(copy: Copy, tell: (rows: number) => void): Promise<void> {
  const [source, target] = [anyTable(copy.from.sql), anyTable(copy.to.sql)]
  await walk(copy, 'copied', tell, async (table, { rows }) => {
    try {
      await writeRows(target, table, rows)
    } catch (error) {
      if (!isClash(error)) throw error
      // A row that was copied earlier has since given up a value to one of these.
      await drainChanges(copy)
      const keys = rows.map(row => keyText(table, row))
      await writeRows(target, table, await readByKeys(source, table, keys))
    }
  })
}

/**
 * Compares the large tables row by row, by their digests, from where it was interrupted. A row that differs
 * must be noted as changed, so that it is copied again; rejects with `CopyError` when it is not.
 */
export async function verifyLarge(copy: Copy, tell: (rows: number) => void): Promise<void> {
  await walk(copy, 'verified', tell, async (table, { rows, after, to }) => {
    const here = digestsOf(table, rows)
    const there = digestsOf(table, await readRange(anyTable(copy.to.sql), table, after, to))
    const keys = new Set([...here.keys(), ...there.keys()])
    await requireNotes(
      copy.from,
      table,
      [...keys].filter(key => here.get(key) !== there.get(key)),
    )
  })
}

function digestsOf(table: CopiedTable, rows: readonly Row[]): ReadonlyMap<string, string> {
  return new Map(rows.map(row => [keyText(table, row), rowDigest(row)]))
}

/** All rows after one key, and up to another if there is one, in pages. */
async function readRange(
  sql: AnyTable,
  table: CopiedTable,
  after: string | undefined,
  to: string | undefined,
): Promise<Row[]> {
  const rows: Row[] = []
  for (let cursor = after; ;) {
    const page = await readPage(sql, table, { after: cursor, to })
    rows.push(...page)
    const last = page.at(-1)
    if (!last || page.length < pageSize) return rows
    cursor = keyText(table, last)
  }
}

interface Page {
  readonly rows: readonly Row[]
  /** The last key before the page. */
  readonly after: string | undefined
  /** The last key of the page; undefined for the last page, which goes on to the end. */
  readonly to: string | undefined
}

/**
 * Goes through the large tables page by page. How far it has come is in the other database, once a page is
 * done.
 */
async function walk(
  { id, from, to }: Copy,
  phase: 'copied' | 'verified',
  tell: (rows: number) => void,
  work: (table: CopiedTable, page: Page) => Promise<void>,
): Promise<void> {
  let before = 0
  for (const table of largeTables) {
    const name = `${phase} ${table.name}`
    const found = await to.sql
      .selectFrom('copy_progress')
      .selectAll()
      .where('name', '=', name)
      .executeTakeFirst()
    // Two that began at the same moment: the progress of the other would leave rows out.
    if (found && found.copy_id !== id)
      throw new CopyError('the other database has the progress of another copy')
    let progress = found ?? { copy_id: id, name, cursor_text: null, rows_done: 0, is_done: 0 }
    tell(before + progress.rows_done)
    while (progress.is_done === 0) {
      const after = progress.cursor_text ?? undefined
      const rows = await readPage(anyTable(from.sql), table, { after })
      const last = rows.at(-1)
      const isLast = rows.length < pageSize
      await work(table, { rows, after, to: isLast || !last ? undefined : keyText(table, last) })
      progress = {
        ...progress,
        cursor_text: last ? keyText(table, last) : progress.cursor_text,
        rows_done: progress.rows_done + rows.length,
        is_done: isLast ? 1 : 0,
      }
      const { cursor_text, rows_done, is_done } = progress
      await to.sql
        .insertInto('copy_progress')
        .values(progress)
        .onConflict(conflict => conflict.column('name').doUpdateSet({ cursor_text, rows_done, is_done }))
        .execute()
      tell(before + rows_done)
    }
    before += progress.rows_done
  }
}
