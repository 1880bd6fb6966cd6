import type { UserTable } from '../../db/schema.ts'
import { findUserById } from '../../db/users/users.ts'
import type { Config } from '../config/load.ts'
import type { Context } from '../context.ts'
import { openValue, sealValue, type SealedKind } from '../keys/sealed.ts'
import { formatUuid, ownUuid } from '../protocol/secrets.ts'

const day = 86_400

/**
 * What is mailed as a link. Nothing is stored for one: its content is sealed in it, and a row decides that it
 * counts once. Those for a user are good while both epochs of the user are those that they name: setting a
 * password raises the one, and another mail address the other. Of a sign-up the row of the user is made,
 * whose id it names.
 */
const kinds = {
  reset: { sealed: 'password reset', path: '/reset', seconds: 900 },
  invitation: { sealed: 'invitation', path: '/reset', seconds: 7 * day },
  verification: { sealed: 'mail verification', path: '/verify', seconds: day },
  sign_up: { sealed: 'sign-up', path: '/sign-up', seconds: day },
} as const satisfies Readonly<
  Record<string, { readonly sealed: SealedKind; readonly path: string; readonly seconds: number }>
>

export type LinkKind = keyof typeof kinds

/** How long a link of each kind is good, in seconds. */
export function secondsOfLink(kind: LinkKind): number {
  return kinds[kind].seconds
}

/** What a link says. */
export interface LinkFacts {
  /** Whom it is for: of a sign-up, the user who is not there yet. */
  readonly userId: Buffer
  /** Both epochs of the user; null for a sign-up. */
  readonly epochs: Pick<UserTable, 'epoch' | 'mail_epoch'> | null
  /** The address that it was mailed to, which following it proves. */
  readonly mail: string
  /** The sealed authorization request during which it was asked for; null for none. */
  readonly request: string | null
}

export interface OpenedLink extends LinkFacts {
  readonly kind: LinkKind
  readonly isExpired: boolean
}

/** The content of the sealed text. */
interface SealedLink {
  readonly user: string
  /** Of the user, and of the mail address. */
  readonly epochs?: readonly [number, number]
  readonly mail: string
  readonly request?: string
  readonly at: number
}

/**
 * So long a sealed request may be to go with a link: mail programs break long ones. A longer one goes on in
 * the window in which it began, and is not in the mail.
 */
const requestLengthMax = 1400

type LinkContext = Pick<Context, 'rootKeys' | 'clock'> & { readonly config: Pick<Config, 'issuer'> }

/** Makes a link to be mailed, and says until when it is good. */
export function makeLink(
  { config, rootKeys, clock }: LinkContext,
  kind: LinkKind,
  { userId, epochs, mail, request }: LinkFacts,
): { readonly href: string; readonly expiresAt: number } {
  const { sealed, path, seconds } = kinds[kind]
  const at = clock.now()
  const content = {
    user: formatUuid(userId),
    ...(epochs && { epochs: [epochs.epoch, epochs.mail_epoch] as const }),
    mail,
    ...(request !== null && request.length <= requestLengthMax && { request }),
    at,
  } satisfies SealedLink
  const text = sealValue(rootKeys, sealed, config.issuer, content)
  return { href: `${config.issuer}${path}?link=${text}`, expiresAt: at + seconds }
}

/**
 * Opens a link of one of these kinds that was made here; undefined for any other text. Does NOT check whether
 * it was used. Throws `temporarily_unavailable` (503) for one that another instance may have made, while this
 * one is behind it.
 */
export async function openLink(
  ctx: Pick<Context, 'config' | 'rootKeys' | 'keys' | 'clock'>,
  accepted: readonly LinkKind[],
  text: string,
): Promise<OpenedLink | undefined> {
  for (const kind of accepted) {
    const { sealed, seconds } = kinds[kind]
    const content = await openValue(ctx, sealed, ctx.config.issuer, text)
    if (!content) continue
    // Only we can have sealed it, so `makeLink` has made it.
    const { user, epochs: sent, mail, request = null, at } = content as unknown as SealedLink
    const epochs = sent ? { epoch: sent[0], mail_epoch: sent[1] } : null
    // A clock that was set back makes nothing younger than it can be.
    const isExpired = Math.abs(ctx.clock.now() - at) >= seconds
    return { kind, userId: ownUuid(user), epochs, mail, request, isExpired }
  }
  return undefined
}

/** Why a link is good no more, or never was. */
export type LinkProblem = 'link_invalid' | 'link_expired' | 'link_used'

/** A link for a user, as it is now. */
export interface LinkOfUser {
  readonly link: OpenedLink
  readonly user: UserTable
}

/** The link and its user, or why it is good no more. A later change may end it yet: the row decides. */
export async function findLinkOfUser(
  ctx: Pick<Context, 'config' | 'rootKeys' | 'keys' | 'clock' | 'db'>,
  accepted: readonly Exclude<LinkKind, 'sign_up'>[],
  text: string,
): Promise<LinkOfUser | LinkProblem> {
  const link = await openLink(ctx, accepted, text)
  if (!link?.epochs) return 'link_invalid'
  if (link.isExpired) return 'link_expired'
  const user = await findUserById(ctx.db, link.userId)
  const isGood =
    user?.disabled_at === null &&
    user.epoch === link.epochs.epoch &&
    user.mail_epoch === link.epochs.mail_epoch
  return isGood ? { link, user } : 'link_used'
}
