import {
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
  type DatabaseConnection,
} from 'kysely'
import { columnTypes, type Migration } from '../../db/installation/migrate.ts'
import { nameMapping } from '../../db/installation/names-alike.ts'

type Engine = keyof typeof columnTypes

const name = '"?(\\w+)"?'

/** What may be done to a database that an older program serves, each with the table that it is done to. */
const additions: readonly RegExp[] = [
  new RegExp(`^create table (?:if not exists )?${name}`),
  new RegExp(`^create (?:unique )?index (?:if not exists )?\\S+ on ${name}`),
  new RegExp(`^alter table ${name} add column `),
  new RegExp(`^insert into ${name}`),
  new RegExp(`^create (?:or replace )?function ${name}`),
  new RegExp(`^create trigger \\S+ (?:before|after) .*? on ${name}`),
]

/**
 * What in a migration would disturb a program that does not know it, or stop the traffic: a sentence for each
 * statement. `isFirst` is the migration that makes everything.
 */
export async function lintMigration(migration: Migration, isFirst = false): Promise<string[]> {
  const problems = new Set<string>()
  for (const engine of ['sqlite', 'postgres'] as const) {
    const own = new Set<string>()
    for (const statement of await statementsOf(migration, engine)) {
      // Reading disturbs no other.
      if (statement.startsWith('select ')) continue
      const text = statement.replace(/\s+/g, ' ').trim().toLowerCase()
      if (text.startsWith('create table')) own.add(additions[0]?.exec(text)?.[1] ?? '')
      const problem = isFirst ? undefined : problemOf(text, own)
      if (problem !== undefined) problems.add(`${problem}: ${text.slice(0, 80)}`)
    }
  }
  return [...problems]
}

function problemOf(text: string, own: ReadonlySet<string>): string | undefined {
  const table = additions.map(form => form.exec(text)?.[1]).find(found => found !== undefined)
  if (table === undefined) return 'only adding is allowed while older programs serve'
  if (own.has(table)) return undefined
  if (/ index /.test(text)) return 'an index on a table that is there stops its writers while it is made'
  if (/^insert/.test(text)) return 'rows of a table that is there belong to the program'
  if (/^create trigger/.test(text)) return 'a trigger changes what older programs do'
  if (/ add column .* not null/.test(text) && !/ default /.test(text)) {
    return 'older programs do not fill a new column: let it be null or have a default'
  }
  if (/ add column .* default (?!(?:'[^']*'|-?\d+|null)(?: |$))/.test(text)) {
    return 'a default that is computed rewrites the table'
  }
  if (/ add column .* (unique|references|check)\b/.test(text)) {
    return 'a condition on a table that is there is checked for all its rows, and for what older programs write'
  }
  return undefined
}

/** The statements of a migration, which are compiled and not run. */
async function statementsOf({ up }: Migration, engine: Engine): Promise<string[]> {
  const statements: string[] = []
  const connection: DatabaseConnection = {
    executeQuery: async ({ sql }) => {
      statements.push(sql)
      return { rows: [], numAffectedRows: 1n }
    },
    streamQuery: () => {
      throw new Error('a migration streams nothing')
    },
  }
  const nothing = async () => {}
  const isPostgres = engine === 'postgres'
  const db = new Kysely<Record<string, never>>({
    dialect: {
      createAdapter: () => (isPostgres ? new PostgresAdapter() : new SqliteAdapter()),
      createIntrospector: db => (isPostgres ? new PostgresIntrospector(db) : new SqliteIntrospector(db)),
      createQueryCompiler: () => (isPostgres ? new PostgresQueryCompiler() : new SqliteQueryCompiler()),
      createDriver: () => ({
        init: nothing,
        acquireConnection: async () => connection,
        beginTransaction: nothing,
        commitTransaction: nothing,
        rollbackTransaction: nothing,
        releaseConnection: nothing,
        destroy: nothing,
      }),
    },
  })
  await up(db, columnTypes[engine], nameMapping)
  return statements
}
