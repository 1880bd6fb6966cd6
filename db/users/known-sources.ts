import type { Kysely } from 'kysely'
import type { Database } from '../database.ts'
import { keptQuery, keptStatement } from '../kept-query.ts'
import type { KnownSourcesTable, Tables } from '../schema.ts'
import { comparedName } from './compared-name.ts'
import { idOfName } from './user-names.ts'

const sourcesOfName = keptQuery((sql, entered: string, compared: string) =>
  sql
    .selectFrom('known_sources')
    .select('sources')
    .where('user_id', '=', idOfName(sql, entered, compared)),
)

/**
 * Where the user of this name has logged in from; null for somebody unknown, or who has not logged in yet.
 */
export async function findKnownSources(db: Database, name: string): Promise<Buffer | null> {
  const [row] = name.includes('\0') ? [] : await sourcesOfName(db, name.normalize('NFC'), comparedName(name))
  return row?.sources ?? null
}

/** Part of the transaction that starts a session. Of two log-ins at once, the later one's sources stay. */
export const setKnownSources = keptStatement((sql, known: KnownSourcesTable) =>
  sql
    .insertInto('known_sources')
    .values(known)
    .onConflict(conflict => conflict.column('user_id').doUpdateSet({ sources: known.sources })),
)

/**
 * In the transaction that changes a password or deletes the user: others who knew the old one have sources
 * here too.
 */
export async function forgetKnownSources(transaction: Kysely<Tables>, userId: Buffer): Promise<void> {
  await transaction.deleteFrom('known_sources').where('user_id', '=', userId).execute()
}
