import type { Batches, Use } from '../batches.ts'
import type { Database } from '../database.ts'
import { batcher } from '../engines/batcher.ts'
import type { Postgres } from '../engines/postgres.ts'
import { isBusy, type Sqlite } from '../engines/sqlite.ts'

/** Remembers a use, for all instances; false when it is known already. Durable when it resolves. */
export function rememberUse({ batches }: Database, use: Use): Promise<boolean> {
  return batches.uses(use)
}

/** Uses that arrive together are committed together. */
export function sqliteReplays(sqlite: Sqlite): Batches['uses'] {
  const statement = 'insert into replays (id, expires_at) values (?, ?) on conflict do nothing'
  return batcher<Use, boolean>({
    keyOf: use => use.id.toString('latin1'),
    isSame: () => false,
    commit: take =>
      sqlite.transact(prepare => {
        const insert = prepare(statement)
        return take().map(({ id, expiresAt }) => insert.run([id, expiresAt]).changes === 1)
      }),
    mayBeOneEntry: error => !isBusy(error),
    limit: 128,
    patienceMs: 5000,
    gatherMs: 2,
  })
}

/** Each by itself: PostgreSQL commits together what arrives together on its own. */
export function postgresReplays(postgres: Postgres): Batches['uses'] {
  const statement = 'insert into replays (id, expires_at) values ($1, $2) on conflict do nothing returning id'
  return async ({ id, expiresAt }) => (await postgres.query(statement, [id, expiresAt])).length === 1
}

/** Forgets at most `limit` uses of what has expired; how many it were. */
export async function forgetUses({ sql }: Database, now: number, limit: number): Promise<number> {
  const { numDeletedRows } = await sql
    .deleteFrom('replays')
    .where('id', 'in', query =>
      query
        .selectFrom('replays')
        .select('id')
        .where('expires_at', '<=', now)
        .orderBy('expires_at')
        .limit(limit),
    )
    .executeTakeFirstOrThrow()
  return Number(numDeletedRows)
}
