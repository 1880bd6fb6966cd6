import type { Kysely, Transaction } from 'kysely'
import type { Database } from '../database.ts'
import { keptStatement } from '../kept-query.ts'
import type { Tables, UserTable } from '../schema.ts'
import type { Steps } from '../steps.ts'

/**
 * Whether the user may log in, and has this epoch. On PostgreSQL the row is locked: a change of it waits
 * until what depends on it can be seen. SQLite has one writer at a time.
 */
export function* isStillOfEpoch(
  sql: Kysely<Tables>,
  { id, epoch }: Pick<UserTable, 'id' | 'epoch'>,
  engine: Database['engine'],
): Steps<boolean> {
  const { rows } = yield* usersOfEpoch[engine](sql, { id, epoch })
  return rows.length > 0
}

const usersOfEpoch = { sqlite: userOfEpoch(false), postgres: userOfEpoch(true) } as const

function userOfEpoch(locks: boolean) {
  return keptStatement((sql, { id, epoch }: Pick<UserTable, 'id' | 'epoch'>) =>
    sql
      .selectFrom('users')
      .select('id')
      .where('id', '=', id)
      .where('epoch', '=', epoch)
      .where('disabled_at', 'is', null)
      .$if(locks, query => query.forShare()),
  )
}

/**
 * Whether there is such a user; with an epoch, whether it may log in and has that. Locked on PostgreSQL, so
 * that others wait who change what depends on it.
 */
export async function lockUser(
  transaction: Transaction<Tables>,
  { id, epoch }: Pick<UserTable, 'id'> & { readonly epoch?: number },
  engine: Database['engine'],
): Promise<boolean> {
  const user = await transaction
    .selectFrom('users')
    .select('id')
    .where('id', '=', id)
    .$if(epoch !== undefined, query => query.where('epoch', '=', epoch ?? 0).where('disabled_at', 'is', null))
    .$if(engine === 'postgres', query => query.forUpdate())
    .executeTakeFirst()
  return user !== undefined
}
