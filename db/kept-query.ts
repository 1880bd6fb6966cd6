import type { Compilable, CompiledQuery, DialectAdapter, Kysely, QueryResult } from 'kysely'
import type { Database } from './database.ts'
import type { ValueType } from './engines/postgres-reads.ts'
import type { Tables } from './schema.ts'
import { step, type Steps } from './steps.ts'

/**
 * A query that changes nothing and is built once for each database, for where requests are answered: building
 * costs several times what a row by its key does. `build` is called with stand-ins for its values, so it may
 * only pass them on; a value that is null is none, and has a query of its own.
 *
 * `types`, of its parameters in their order, are for queries that many requests make: on PostgreSQL those
 * that arrive together are one statement. Such a query has no other parameters, no null, and no order of its
 * rows.
 */
export function keptQuery<Values extends readonly unknown[], Row>(
  build: (sql: Kysely<Tables>, ...values: Values) => Compilable<Row>,
  types?: { readonly [Place in keyof Values]: ValueType },
): (db: Database, ...values: Values) => Promise<readonly Row[]> {
  const fill = keep((sql, values: Values) => build(sql, ...values))
  return (db, ...values) => db.read(fill(db.sql, values), types)
}

/** The same for a step of a transaction, whose values have names. */
export function keptStatement<Values extends object, Row>(
  build: (sql: Kysely<Tables>, values: Values) => Compilable<Row>,
): (sql: Kysely<Tables>, values: Values) => Steps<QueryResult<Row>> {
  const fill = keep(build)
  return (sql, values) => step(fill(sql, values))
}

interface Kept<Row> {
  readonly compiled: CompiledQuery<Row>
  /** For each parameter the name of its value; undefined for a constant. */
  readonly names: readonly (string | undefined)[]
}

function keep<Values extends object, Row>(
  build: (sql: Kysely<Tables>, values: Values) => Compilable<Row>,
): (sql: Kysely<Tables>, values: Values) => CompiledQuery<Row> {
  // A transaction has the adapter of its database.
  const databases = new WeakMap<DialectAdapter, Map<string, Kept<Row>>>()
  return (sql, values) => {
    const { adapter } = sql.getExecutor()
    const ofDatabase = databases.get(adapter) ?? new Map<string, Kept<Row>>()
    databases.set(adapter, ofDatabase)
    const valueOf = values as Readonly<Record<string, unknown>>
    let nulls = ''
    for (const name in valueOf) if (valueOf[name] === null) nulls += ` ${name}`
    let kept = ofDatabase.get(nulls)
    if (!kept) {
      kept = compile(sql, build, values)
      ofDatabase.set(nulls, kept)
    }
    const { compiled, names } = kept
    const parameters = compiled.parameters.map((constant, i) => {
      const name = names[i]
      return name === undefined ? constant : valueOf[name]
    })
    return { ...compiled, parameters }
  }
}

function compile<Values extends object, Row>(
  sql: Kysely<Tables>,
  build: (sql: Kysely<Tables>, values: Values) => Compilable<Row>,
  values: Values,
): Kept<Row> {
  const nameOf = new Map<unknown, string>()
  const standInOf = (name: string) => {
    const standIn = Buffer.from(name)
    nameOf.set(standIn, name)
    return standIn
  }
  const standIns = Object.entries(values).map(([name, value]) => [
    name,
    value === null ? null : standInOf(name),
  ])
  const members = Array.isArray(values) ? standIns.map(([, value]) => value) : Object.fromEntries(standIns)
  const compiled = build(sql, members as Values).compile()
  return { compiled, names: compiled.parameters.map(parameter => nameOf.get(parameter)) }
}
