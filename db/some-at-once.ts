/**
 * So many rows go into one statement: SQLite takes 32,766 values in one, PostgreSQL 65,535, and no table has
 * 60 columns.
 */
export const rowsAtOnce = 500

/** The items in their order, as many at once as one statement takes. */
export function* someAtOnce<Item>(items: readonly Item[]): Generator<readonly Item[], void> {
  for (let i = 0; i < items.length; i += rowsAtOnce) yield items.slice(i, i + rowsAtOnce)
}
