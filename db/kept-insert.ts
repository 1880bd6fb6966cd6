import type { CompiledQuery, Kysely, Transaction } from 'kysely'
import type { Tables } from './schema.ts'

/** So many rows are one statement, which is kept; fewer are one that is built for them. */
const rowsAtOnce = 250

type Row = Readonly<Record<string, unknown>>

/**
 * Makes what adds many rows of one shape, but those that are in conflict with others, and returns how many it
 * has added. Its statement is built once for each database and prepared once: for each row, that would take
 * longer than adding it does.
 */
export function keptInsert(
  table: 'users' | 'user_names' | 'group_members',
): (transaction: Transaction<Tables>, rows: readonly object[]) => Promise<number> {
  // A transaction has the adapter of its database.
  const kept = new WeakMap<object, { readonly insert: CompiledQuery; readonly shape: string }>()
  const wholeInsert = (transaction: Transaction<Tables>, columns: readonly string[]) => {
    const { adapter } = transaction.getExecutor()
    const shape = columns.join(' ')
    const found = kept.get(adapter)
    if (found?.shape === shape) return found.insert
    const insert = compile(transaction, table, columns, rowsAtOnce)
    kept.set(adapter, { insert, shape })
    return insert
  }
  return async (transaction, rows) => {
    const columns = Object.keys(rows[0] ?? {})
    let added = 0
    for (let i = 0; i < rows.length; i += rowsAtOnce) {
      const some = rows.slice(i, i + rowsAtOnce) as readonly Row[]
      const insert =
        some.length === rowsAtOnce
          ? wholeInsert(transaction, columns)
          : compile(transaction, table, columns, some.length)
      const parameters = some.flatMap(row => columns.map(name => row[name]))
      const { numAffectedRows = 0n } = await transaction.executeQuery({ ...insert, parameters })
      added += Number(numAffectedRows)
    }
    return added
  }
}

/** For values that are yet to come: each is a parameter, in the order of the rows and of the columns. */
function compile(
  sql: Kysely<Tables>,
  table: 'users' | 'user_names' | 'group_members',
  columns: readonly string[],
  count: number,
): CompiledQuery {
  const standIns = Object.fromEntries(columns.map(name => [name, '']))
  return sql
    .insertInto(table)
    .values(Array.from({ length: count }, () => standIns) as never)
    .onConflict(conflict => conflict.doNothing())
    .compile()
}
