import type { Database } from '../database.ts'
import { someAtOnce } from '../some-at-once.ts'
import { CopyError, type Copy } from './copy.ts'
import {
  anyTable,
  deleteByKeys,
  keyText,
  largeTables,
  pageSize,
  readByKeys,
  rowDigest,
  writeRows,
  type AnyTable,
  type CopiedTable,
} from './tables.ts'

/**
 * Copies what was noted as changed, until less than a page is left, or with `isFinal` until nothing is. Each
 * row that was copied is read back and compared.
 */
export async function drainChanges(
  copy: Copy,
  source: AnyTable = anyTable(copy.from.sql),
  isFinal = false,
): Promise<void> {
  for (;;) {
    const notes = await source.selectFrom('copy_changes').selectAll().orderBy('seq').limit(pageSize).execute()
    for (const table of largeTables) {
      const keys = notes
        .filter(note => note['table_name'] === table.name)
        .map(note => String(note['key_text']))
      if (keys.length > 0) await copyKeys(source, anyTable(copy.to.sql), table, [...new Set(keys)])
    }
    // These and no others: a later change of the same row has a note of its own.
    const done = notes.map(note => note['seq'])
    if (done.length > 0) await source.deleteFrom('copy_changes').where('seq', 'in', done).execute()
    if (isFinal ? notes.length === 0 : notes.length < pageSize) return
  }
}

async function copyKeys(
  source: AnyTable,
  target: AnyTable,
  table: CopiedTable,
  keys: readonly string[],
): Promise<void> {
  const rows = await readByKeys(source, table, keys)
  const present = new Set(rows.map(row => keyText(table, row)))
  // First, since their unique values may have been taken by others.
  await deleteByKeys(
    target,
    table,
    keys.filter(key => !present.has(key)),
  )
  await writeRows(target, table, rows)
  const copied = new Map(
    (await readByKeys(target, table, keys)).map(row => [keyText(table, row), rowDigest(row)]),
  )
  const isSame =
    copied.size === rows.length && rows.every(row => copied.get(keyText(table, row)) === rowDigest(row))
  if (!isSame) throw new CopyError(`rows of ${table.name} are not what was written to the other database`)
}

/** Rejects with `CopyError` unless each of these rows has a note that it has changed. */
export async function requireNotes(
  { sql }: Database,
  table: CopiedTable,
  keys: readonly string[],
): Promise<void> {
  let unnoted = keys.length
  // The other database may hold any number of rows that are not to be there.
  for (const some of someAtOnce(keys)) {
    const notes = await sql
      .selectFrom('copy_changes')
      .select('key_text')
      .distinct()
      .where('table_name', '=', table.name)
      .where('key_text', 'in', some)
      .execute()
    unnoted -= notes.length
  }
  if (unnoted === 0) return
  throw new CopyError(
    `${unnoted} rows of ${table.name} differ in the other database, though nothing has changed them: ` +
      'the copy is not complete, and nothing was moved',
  )
}
