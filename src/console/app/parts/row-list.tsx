import type { ComponentChildren } from 'preact'

interface RowListProps<Item> {
  /** What is listed, for screen readers: `Users`. */
  readonly label: string
  readonly items: readonly Item[]
  readonly keyOf: (item: Item) => string
  readonly row: (item: Item) => ComponentChildren
  /** What is there in the place of an empty list. */
  readonly none?: ComponentChildren
}

/** A row for each. */
export function RowList<Item>({ label, items, keyOf, row, none }: RowListProps<Item>) {
  return items.length === 0 && none ? (
    none
  ) : (
    <ul class="rows" aria-label={label}>
      {items.map(item => (
        <li key={keyOf(item)}>{row(item)}</li>
      ))}
    </ul>
  )
}
