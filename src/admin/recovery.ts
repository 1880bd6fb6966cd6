import type { UserTable } from '../../db/schema.ts'
import { makeLink } from '../account/links.ts'
import { Refusal } from '../errors.ts'
import { parseUserClaims } from '../protocol/standard-claims.ts'
import { recordAlone } from '../record/record.ts'
import { rolesNow } from '../users/roles.ts'
import type { Admin } from './admin.ts'
import { administers } from '../protocol/admin-roles.ts'
import { removeFactor } from './factors.ts'
import { enableUser, existingUser } from './users.ts'

export interface Recovery {
  readonly user: UserTable
  /** Sets a new password, once. It lets in anybody who has it. */
  readonly href: string
  readonly expiresAt: number
}

/**
 * Makes a link that lets an administrator in who has no other way, and enables one who was disabled. With
 * `withoutFactors`, second factors are removed first: otherwise they are asked for after the new password.
 * For who is on the host, and so could change the database anyhow.
 */
export async function recoverAdmin(
  admin: Admin,
  username: string,
  { withoutFactors }: { readonly withoutFactors: boolean },
): Promise<Recovery> {
  const found = await existingUser(admin, username)
  if (!administers(await rolesNow(admin.db, found))) {
    throw new Refusal(
      'invalid',
      `the user ${found.username} is no administrator`,
      `\`mintmark user update ${found.username} --role mintmark:admin\` makes one, instead of other roles`,
    )
  }
  if (found.disabled_at !== null) await enableUser(admin, found.username)
  if (withoutFactors) await removeAll(admin, found.username)
  const recovered = {
    event: 'admin_recovered',
    userId: found.id,
    detail: { factors_removed: withoutFactors },
  } as const
  await recordAlone(admin, recovered)
  const user = await existingUser(admin, username)
  const { email } = parseUserClaims(user.claims)
  const mail = typeof email === 'string' ? email : ''
  const link = makeLink(admin, 'reset', { userId: user.id, epochs: user, mail, request: null })
  return { user, ...link }
}

async function removeAll(admin: Admin, username: string): Promise<void> {
  try {
    await removeFactor(admin, username, 'all')
  } catch (error) {
    // There was none.
    if (!(error instanceof Refusal) || error.code !== 'not_found') throw error
  }
}
