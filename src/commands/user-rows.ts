import { describeUser, type ListedUser } from '../admin/users.ts'
import { formatTime } from '../values/formats.ts'
import type { Row } from './shell/output.ts'

export const userColumns = ['NAME', 'SUB', 'ROLES', 'GROUPS', 'SINCE', 'DISABLED']

export async function* userRows(users: AsyncIterable<ListedUser>): AsyncGenerator<Row> {
  for await (const user of users) {
    const json = describeUser(user)
    const { sub, username, roles, groups, created_at, disabled_at } = json
    const times = [formatTime(created_at), formatTime(disabled_at)]
    yield { cells: [username, sub, roles.join(' '), groups.join(' '), ...times], json }
  }
}
