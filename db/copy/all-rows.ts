import type { Database } from '../database.ts'
import type { Tables } from '../schema.ts'
import { anyTable, copiedTables, countRowsOf, keyText, pageSize, readPage, type Row } from './tables.ts'

/** The tables whose rows are read one by one, in pages, in the order of their keys. */
const walked = copiedTables.filter(({ key }) => key.length === 1)

/** How many rows there are to be read by `readAllRows`. */
export async function countAllRows({ sql }: Database): Promise<number> {
  let count = 0
  for (const { name } of walked) count += await countRowsOf(anyTable(sql), name)
  return count
}

/**
 * Every row of the tables that have a key of one column, page by page, with the value of that key as text.
 */
export async function* readAllRows({
  sql,
}: Database): AsyncGenerator<{ readonly table: keyof Tables; readonly key: string; readonly row: Row }> {
  for (const table of walked) {
    // Bytes and numbers go on after the last one; a key that is text is in a table of few rows, read as a
    // whole.
    const isPaged = table.isLarge
    for (let after: string | undefined; ;) {
      const page = isPaged
        ? await readPage(anyTable(sql), table, { after })
        : await anyTable(sql).selectFrom(table.name).selectAll().execute()
      for (const row of page) yield { table: table.name, key: keyText(table, row), row }
      const last = page.at(-1)
      if (!last || !isPaged || page.length < pageSize) break
      after = keyText(table, last)
    }
  }
}
