import type { UserTable } from '../../db/schema.ts'
import { findUserById } from '../../db/users/users.ts'
import type { Caller } from '../clients/caller.ts'
import type { Context } from '../context.ts'
import { usedLinkLimit } from '../users/guess-limits.ts'
import { openLink, type LinkKind, type OpenedLink } from './links.ts'

/*
 * A double click sends a form twice, and browsers drop the first answer. A link counts once, so the second
 * form finds it used: where all is as that very form would have made it, it is answered as the first one was.
 */

/** A link that was used, and the user as it is now. */
export interface UsedLink {
  readonly link: OpenedLink
  readonly user: UserTable
}

/** Undefined for a link that is too old, and for one whose user may not log in. */
export async function findUsedLink(
  ctx: Context,
  accepted: readonly LinkKind[],
  text: string,
): Promise<UsedLink | undefined> {
  const link = await openLink(ctx, accepted, text)
  if (!link || link.isExpired) return undefined
  const user = await findUserById(ctx.db, link.userId)
  return user?.disabled_at === null ? { link, user } : undefined
}

/**
 * Whether it is the password that the user has. Who has a link that was used could guess at the password with
 * it, so there are few tries.
 */
export async function hasPassword(
  { users: { throttle, passwords } }: Context,
  user: UserTable,
  { password, caller: { source } }: { readonly password: string; readonly caller: Caller },
): Promise<boolean> {
  const of = ['used link', user.id.toString('base64url')] as const
  if ((await throttle.count([{ of, limit: usedLinkLimit }])) > 0) return false
  return passwords.verify(user, password, source)
}
