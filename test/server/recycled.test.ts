import pg from 'pg'
import t from 'tap'
import { onPostgres } from '../helpers/engines.ts'
import { migratedTemplate, type Databases } from '../helpers/postgres.ts'
import { migratedDatabase } from '../helpers/recycled.ts'
import { sharedPostgres } from '../helpers/shared-postgres.ts'

/** All that is in it, and where its numbers go on. */
async function contentsOf(postgres: Databases, name: string): Promise<unknown> {
  const tables = await postgres.query(
    `select relname as name from pg_class
      where relkind = 'r' and relnamespace = 'public'::regnamespace order by relname`,
    name,
  )
  const rows = []
  for (const table of tables) rows.push(await postgres.query(`select * from ${String(table['name'])}`, name))
  const sequences = await postgres.query('select sequencename, last_value from pg_sequences', name)
  return { tables, rows, sequences }
}

/** Gives a database to a test that does something with it, and is over then. */
async function useOne(postgres: Databases, sql: string): Promise<string> {
  const endings: (() => unknown)[] = []
  const name = await migratedDatabase({ teardown: work => void endings.push(work) }, postgres)
  await postgres.query(sql, name)
  for (const work of endings) work()
  return name
}

await onPostgres(t, 'the database of a test that is over is like a new one for the next', async t => {
  const postgres = await sharedPostgres()
  const fresh = await contentsOf(postgres, await postgres.createDatabase(migratedTemplate))
  const used = await useOne(
    postgres,
    `update status_positions set next = 7; insert into throttles values ('a', 1);
      insert into revocations (session_id, status_position, revoked_at) values (gen_random_uuid(), 1, 2); delete from sweeper`,
  )
  const name = await migratedDatabase(t, postgres)
  t.equal(name, used)
  t.strictSame(await contentsOf(postgres, name), fresh)
})

await onPostgres(t, 'but not where tables or settings were changed, or a connection is left', async t => {
  const postgres = await sharedPostgres()
  const changed = await useOne(postgres, 'create index another on users (roles)')
  t.not(await migratedDatabase(t, postgres), changed)
  const set = await useOne(
    postgres,
    `do $$ begin execute format(
    'alter database %I set work_mem = %L', current_database(), '1MB'); end $$`,
  )
  t.not(await migratedDatabase(t, postgres), set)
  const busy = await useOne(postgres, 'select 1')
  const client = new pg.Client({ connectionString: postgres.url(busy) })
  await client.connect()
  t.teardown(() => client.end())
  t.not(await migratedDatabase(t, postgres), busy)
})
