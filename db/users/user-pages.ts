import type { Database } from '../database.ts'

const shownColumns = [
  'users.id',
  'users.username',
  'users.roles',
  'users.group_names',
  'users.claims',
  'users.created_at',
  'users.disabled_at',
] as const

/**
 * Users with a name that begins so, as names are compared, in the order of these names, after `after`. A user
 * with two such names is there once, with the first of them: most mail addresses begin as the user name does.
 */
export async function searchUsers(
  { sql }: Database,
  { prefix, after, limit }: { prefix: string; after: string | undefined; limit: number },
) {
  const rows = await sql
    .selectFrom('user_names')
    .innerJoin('users', 'users.id', 'user_names.user_id')
    .select(shownColumns)
    .select('user_names.name')
    .where('user_names.name', '>=', prefix)
    .where('user_names.name', '<', `${prefix}\u{10ffff}`)
    .where(({ not, exists, selectFrom }) =>
      not(
        exists(
          selectFrom('user_names as earlier')
            .select('earlier.user_id')
            .whereRef('earlier.user_id', '=', 'user_names.user_id')
            .where('earlier.name', '>=', prefix)
            .whereRef('earlier.name', '<', 'user_names.name'),
        ),
      ),
    )
    .$if(after !== undefined, query => query.where('user_names.name', '>', after ?? ''))
    .orderBy('user_names.name')
    .limit(limit)
    .execute()
  return rows.map(({ name, ...user }) => ({ user, key: name }))
}

/** Users in the order of their names, after `after`. */
export async function listUsers(
  { sql }: Database,
  { after = '', limit }: { after?: string | undefined; limit: number },
) {
  return sql
    .selectFrom('users')
    .select(shownColumns)
    .where('username', '>', after)
    .orderBy('username')
    .limit(limit)
    .execute()
}

/** Some users, in the order of their ids; those that are not there are left out. */
export async function usersByIds({ sql }: Database, ids: readonly Buffer[]) {
  if (ids.length === 0) return []
  return sql.selectFrom('users').select(shownColumns).where('id', 'in', ids).orderBy('id').execute()
}
