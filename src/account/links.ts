import type { Config } from '../config/load.ts'
import type { Context } from '../context.ts'
import { openValue, sealValue, type SealedKind } from '../keys/sealed.ts'
import { formatUuid, ownUuid } from '../protocol/secrets.ts'

const day = 86_400

/**
 * What is mailed as a link. Nothing is stored for one: what it says is sealed in it, and a row decides that
 * it counts once. A reset and an invitation are good while the epoch of the user is the one that they name,
 * and setting the password raises that; so is a verification by the epoch of the mail address; and of a
 * sign-up the row of the user is made, whose id it names.
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
  /** Of the user, or for a verification that of the mail address; null for a sign-up. */
  readonly epoch: number | null
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
  readonly epoch?: number
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
  { userId, epoch, mail, request }: LinkFacts,
): { readonly href: string; readonly expiresAt: number } {
  const { sealed, path, seconds } = kinds[kind]
  const at = clock.now()
  const content = {
    user: formatUuid(userId),
    ...(epoch !== null && { epoch }),
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
    // Nobody else can have sealed it, so it is what `makeLink` has made.
    const { user, epoch = null, mail, request = null, at } = content as unknown as SealedLink
    // A clock that was set back makes nothing younger than it can be.
    const isExpired = Math.abs(ctx.clock.now() - at) >= seconds
    return { kind, userId: ownUuid(user), epoch, mail, request, isExpired }
  }
  return undefined
}
