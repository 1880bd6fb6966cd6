import { listWholeUsers } from '../../../db/users/imports.ts'
import type { UserTable } from '../../../db/schema.ts'
import { recordAlone } from '../../record/record.ts'
import type { Admin } from '../admin.ts'
import { describeUser } from '../users.ts'

export interface ExportOptions {
  /**
   * Whether hashes go with their users: of our own passwords with the root key whose pepper they need, of
   * imported ones as they came.
   */
  readonly withHashes: boolean
}

/** All users as an import takes them, in the order of their names, read page by page. */
export async function* exportUsers(
  admin: Admin,
  { withHashes }: ExportOptions,
): AsyncGenerator<ReturnType<typeof exportedUser>> {
  const exported = { event: 'users_exported', detail: { with_hashes: withHashes } } as const
  await recordAlone(admin, exported)
  for await (const user of listWholeUsers(admin.db)) yield exportedUser(admin, user, withHashes)
}

function exportedUser({ passwords }: Pick<Admin, 'passwords'>, user: UserTable, withHashes: boolean) {
  const { disabled_at, ...document } = describeUser(user)
  const { hash, rootKeyId } = passwords.unwrap(user)
  return {
    ...document,
    ...(disabled_at !== null && { disabled_at }),
    ...(withHashes && hash !== '' && { password_hash: hash }),
    ...(withHashes && rootKeyId !== undefined && { root_key_id: rootKeyId }),
  }
}
