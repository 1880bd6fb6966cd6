import type { Database } from '../database.ts'
import type { UserTable } from '../schema.ts'

export type UserToTell = Pick<UserTable, 'id' | 'username' | 'claims' | 'roles' | 'group_names'>

const usersAtOnce = 1000

/** Users who have a group, or this many characters of roles, in the order of their names, page by page. */
export async function* listUsersToTell({ sql }: Database, rolesLength: number): AsyncGenerator<UserToTell> {
  for (let after = ''; ;) {
    const page = await sql
      .selectFrom('users')
      .select(['id', 'username', 'claims', 'roles', 'group_names'])
      .where('username', '>', after)
      .where(({ or, eb, fn }) =>
        or([eb('group_names', '!=', ''), eb(fn<number>('length', ['roles']), '>=', rolesLength)]),
      )
      .orderBy('username')
      .limit(usersAtOnce)
      .execute()
    yield* page
    const last = page.at(-1)
    if (!last || page.length < usersAtOnce) return
    after = last.username
  }
}
