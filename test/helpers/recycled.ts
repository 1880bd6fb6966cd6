import pg from 'pg'
import { migratedTemplate, type Databases, type Ending } from './postgres.ts'

/*
 * To make a database and to drop it costs PostgreSQL ten times as much as to empty one. So a test has the
 * database of an earlier one of the same process, unless more than rows was changed in that.
 */

/** The databases of tests that are over. */
const left: string[] = []

/** The statement that empties one of them. */
let emptying: Promise<string> | undefined

/** A database that has all tables and no rows, for as long as the test runs. */
export async function migratedDatabase(t: Ending, postgres: Databases): Promise<string> {
  const used = left.pop()
  const isEmpty = used !== undefined && emptying && (await empty(postgres.url(used), await emptying))
  const name = isEmpty ? used : await postgres.createDatabase(migratedTemplate)
  await (emptying ??= statementFor(postgres, name))
  // The first to be torn down comes last: by then the test has closed its connections.
  t.teardown(() => left.push(name))
  return name
}

/** How many rows a test may have written: deleted ones stay in their pages, and slow down who reads those. */
const writesMax = 2000

/**
 * Whether only rows were changed, and no connection is left. PostgreSQL counts writes since the
 * database was made or last emptied, those of its own catalog too.
 */
const onlyRowsChanged = `
  not exists (select from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid())
  and not exists (select from pg_db_role_setting join pg_database on setdatabase = pg_database.oid
    where datname = current_database())
  and (select datacl is null and datconnlimit = -1 from pg_database where datname = current_database())
  and (select sum(writes) < ${writesMax}
      and sum(writes) filter (where relnamespace = 'pg_catalog'::regnamespace) = 0
    from pg_class, lateral (select pg_stat_get_tuples_inserted(pg_class.oid)
      + pg_stat_get_tuples_updated(pg_class.oid) + pg_stat_get_tuples_deleted(pg_class.oid) as writes)
    where relkind = 'r' and not relisshared)`

/** Makes it as it was when it was new; false where that cannot be. */
async function empty(connectionString: string, statement: string): Promise<boolean> {
  const client = new pg.Client({ connectionString })
  client.on('error', () => {}) // the statement says it
  try {
    await client.connect()
    await client.query(statement)
    await client.query('select pg_stat_reset()')
    return true
  } catch {
    return false
  } finally {
    await client.end().catch(() => {})
  }
}

/** Reads the rows that migrations make from a new database: another one is to have them too. */
async function statementFor(postgres: Databases, name: string): Promise<string> {
  const found = await postgres.query(
    `select format('%I', relname) as name from pg_class
      where relkind = 'r' and relnamespace = 'public'::regnamespace`,
    name,
  )
  const tables = found.map(table => String(table['name']))
  const made = await postgres.query(
    tables
      .map(table => `select '${table}' as table, json_agg(row)::text as rows from ${table} row`)
      .join(' union all '),
    name,
  )
  const seeds = made
    .filter(({ rows }) => rows !== null)
    .map(
      ({ table, rows }) => `insert into ${String(table)} select *
        from json_populate_recordset(null::${String(table)}, $rows$${String(rows)}$rows$);`,
    )
  return `do $do$ begin
    if not (${onlyRowsChanged}) then raise exception 'more than rows was changed'; end if;
    set local session_replication_role = replica; -- neither triggers nor foreign keys
    ${tables.map(table => `delete from ${table};`).join('\n')}
    ${seeds.join('\n')}
    perform setval(seqrelid, seqstart, false) from pg_sequence;
    perform pg_stat_force_next_flush(); -- before the counts begin anew
  end $do$`
}
