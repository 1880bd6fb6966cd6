import type { Changes } from '../record/events.ts'

/** Where `after` differs from `before`; from nothing, all of it does. */
export function differencesOf(before: object | undefined, after: object): Changes {
  const known = new Map<string, unknown>(before ? Object.entries(before) : [])
  return Object.fromEntries(
    Object.entries(after)
      .map(([key, to]: [string, unknown]) => [key, { from: known.get(key) ?? null, to }] as const)
      .filter(([, { from, to }]) => JSON.stringify(from) !== JSON.stringify(to)),
  )
}

/** The columns in which `after` differs, so that others' changes of the rest stay. */
export function changedColumns<Columns extends object>(before: Columns, after: Columns): Partial<Columns> {
  const changed: Partial<Columns> = {}
  for (const column of Object.keys(after) as (keyof Columns)[]) {
    if (after[column] !== before[column]) changed[column] = after[column]
  }
  return changed
}
