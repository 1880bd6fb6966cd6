/** So many items go into one statement: steps of progress, and retries, stay small. */
const itemsMax = 1000

/** SQLite takes 32,766 values in a statement, PostgreSQL 65,535. */
const valuesMax = 32_000

/** The items in their order, as many at once as one statement takes, of which each is one value. */
export function* someAtOnce<Item>(items: readonly Item[]): Generator<readonly Item[], void> {
  yield* slices(items, itemsMax)
}

/** Rows in their order, as many at once as one statement takes: each has a value for each of its columns. */
export function* someRowsAtOnce<Row extends object>(rows: readonly Row[]): Generator<readonly Row[], void> {
  const columns = Object.keys(rows[0] ?? {}).length
  yield* slices(rows, Math.min(itemsMax, Math.floor(valuesMax / Math.max(columns, 1))))
}

function* slices<Item>(items: readonly Item[], length: number): Generator<readonly Item[], void> {
  for (let i = 0; i < items.length; i += length) yield items.slice(i, i + length)
}
