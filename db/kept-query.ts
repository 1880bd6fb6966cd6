import type { Compilable, CompiledQuery, Kysely } from 'kysely'
import type { Database } from './database.ts'
import type { Tables } from './schema.ts'

/**
 * A query that changes nothing and is built once for each database, for where requests are answered: building
 * costs several times what a row by its key does. `build` is called with stand-ins for its values, so it may
 * only pass them on.
 */
export function keptQuery<Values extends readonly unknown[], Row>(
  build: (sql: Kysely<Tables>, ...values: Values) => Compilable<Row>,
): (db: Database, ...values: Values) => Promise<readonly Row[]> {
  const kept = new WeakMap<Database, Kept<Row>>()
  return (db, ...values) => {
    let query = kept.get(db)
    if (!query) {
      query = keep(db, build, values.length)
      kept.set(db, query)
    }
    const { compiled, places } = query
    const parameters = compiled.parameters.map((constant, i) => {
      const place = places[i] ?? -1
      return place < 0 ? constant : values[place]
    })
    return db.read({ ...compiled, parameters })
  }
}

interface Kept<Row> {
  readonly compiled: CompiledQuery<Row>
  /** For each parameter the place of its value among the arguments; -1 for a constant. */
  readonly places: readonly number[]
}

function keep<Values extends readonly unknown[], Row>(
  db: Database,
  build: (sql: Kysely<Tables>, ...values: Values) => Compilable<Row>,
  count: number,
): Kept<Row> {
  const standIns: unknown[] = Array.from({ length: count }, (_, i) => Buffer.from(`value ${i}`))
  const compiled = build(db.sql, ...(standIns as unknown as Values)).compile()
  return { compiled, places: compiled.parameters.map(parameter => standIns.indexOf(parameter)) }
}
