import type { UserTable } from '../../../db/schema.ts'
import { pagesOfWholeUsers } from '../../../db/users/imports.ts'
import { recordAlone } from '../../record/record.ts'
import type { Admin } from '../admin.ts'
import { describeUser } from '../users.ts'

export interface ExportOptions {
  /**
   * Whether hashes go with their users: of our own passwords with the root key whose pepper they need, of
   * imported ones as they came.
   */
  readonly withHashes: boolean
  /** The user name after which it begins; with the first one unless told. */
  readonly after?: string | undefined
}

/** Some of the users, as an import takes them. */
export interface ExportedPage {
  /** A JSON object for each user, with a line break after each. */
  readonly lines: string
  readonly users: number
}

/**
 * All users as an import takes them, in the order of their names. Each page is read when it is asked for. The
 * trail says that an export has begun, and at its end how many users were handed out, and whether those
 * were all.
 */
export async function* exportUsers(
  admin: Admin,
  { withHashes, after }: ExportOptions,
): AsyncGenerator<ExportedPage> {
  const detail = { with_hashes: withHashes, ...(after !== undefined && { is_resumed: true }) }
  await recordAlone(admin, { event: 'users_exported', detail })
  let users = 0
  let isWhole = false
  try {
    for await (const page of pagesOfWholeUsers(admin.db, after)) {
      users += page.length
      const lines = page.map(user => `${JSON.stringify(exportedUser(admin, user, withHashes))}\n`)
      yield { lines: lines.join(''), users: page.length }
    }
    isWhole = true
  } finally {
    const ended = { with_hashes: withHashes, users, is_whole: isWhole }
    await recordAlone(admin, { event: 'users_export_ended', detail: ended })
  }
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
