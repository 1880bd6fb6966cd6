import type { Database } from './database.ts'

/**
 * Makes a read that is done once for all requests which ask for the same in one turn of the event loop, as
 * those do that take their steps together (src/http/in-step.ts): they have arrived before, so none can know
 * of a later moment. Nor can one that has written itself, for a commit takes a turn. All get one object, and
 * may not change it.
 */
export function sharedRead<Values extends readonly (string | number)[], Found>(
  read: (db: Database, ...values: Values) => Promise<Found>,
): (db: Database, ...values: Values) => Promise<Found> {
  /** Of each database, what is being looked for in this turn of the event loop. */
  const lookedFor = new WeakMap<Database, Map<string, Promise<Found>>>()
  return (db, ...values) => {
    const together = lookedFor.get(db) ?? new Map<string, Promise<Found>>()
    lookedFor.set(db, together)
    const key = values.join('\n')
    const found = together.get(key)
    if (found) return found
    if (together.size === 0) process.nextTick(() => together.clear())
    const finding = read(db, ...values)
    together.set(key, finding)
    return finding
  }
}
