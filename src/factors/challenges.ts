import type { UserTable } from '../../db/schema.ts'
import type { Context } from '../context.ts'
import { openValue, sealValue } from '../keys/sealed.ts'
import { formatUuid, ownUuid } from '../protocol/secrets.ts'
import { itemsOf } from '../values/list.ts'
import { sha256 } from '../values/sha256.ts'
import { readAnswer, type Answer, type Expected } from './webauthn.ts'

/** How long a challenge may be answered, in seconds. */
export const challengeSeconds = 300

/** What a challenge asks for, and of whom. It is sealed, so nothing of it is kept. */
export type Challenge = { readonly browser: string } &
  /** Anybody's passkey, or one of this user. */
  (
    | { readonly kind: 'use'; readonly userId: Buffer | null }
    /** A new passkey of this user, which has this id from now on. */
    | { readonly kind: 'add'; readonly user: Pick<UserTable, 'id' | 'epoch'>; readonly passkeyId: Buffer }
  )

/** The challenge as browsers take it: base64url. No two are alike. */
export function sealChallenge(
  { config, rootKeys, clock }: Pick<Context, 'config' | 'rootKeys' | 'clock'>,
  challenge: Challenge,
): string {
  const { browser } = challenge
  const content = { at: clock.now(), browser, ...contentOf(challenge) }
  return sealValue(rootKeys, 'passkey challenge', config.issuer, content)
}

interface Content {
  readonly at: number
  readonly browser: string
  readonly user?: string
  readonly epoch?: number
  readonly passkey?: string
}

function contentOf(challenge: Challenge): Omit<Content, 'at' | 'browser'> {
  if (challenge.kind === 'use') return challenge.userId === null ? {} : { user: formatUuid(challenge.userId) }
  const { user, passkeyId } = challenge
  return { user: formatUuid(user.id), epoch: user.epoch, passkey: formatUuid(passkeyId) }
}

/**
 * What was sealed, with its age; undefined for any other text. Does NOT check the browser, nor whether it was
 * answered before. Throws 503 where only another instance can tell.
 */
export async function openChallenge(
  ctx: Pick<Context, 'config' | 'rootKeys' | 'keys' | 'clock'>,
  text: string,
): Promise<(Challenge & { readonly isExpired: boolean }) | undefined> {
  const opened = await openValue(ctx, 'passkey challenge', ctx.config.issuer, text)
  if (!opened) return undefined
  const { at, browser, user, epoch, passkey } = opened as unknown as Content
  // A clock that was set back makes nothing younger than it can be.
  const isExpired = Math.abs(ctx.clock.now() - at) >= challengeSeconds
  if (passkey === undefined || user === undefined || epoch === undefined)
    return { kind: 'use', browser, userId: user === undefined ? null : ownUuid(user), isExpired }
  return { kind: 'add', browser, user: { id: ownUuid(user), epoch }, passkeyId: ownUuid(passkey), isExpired }
}

/** So much of the hash of a challenge tells it from all others of its minutes. */
const markLength = 16

/**
 * The challenges that a passkey has answered, with this one: each as `END.HASH`, until it is too old to be
 * taken. Undefined where this one is among them.
 */
export function spentWith(spent: string, challenge: string, now: number): string | undefined {
  const mark = sha256(challenge).toString('base64url').slice(0, markLength)
  const living = itemsOf(spent).filter(one => Number(one.slice(0, one.indexOf('.'))) > now)
  if (living.some(one => one.endsWith(`.${mark}`))) return undefined
  // Those that begin in the future, as after a clock was set back, are taken for as long before as after.
  return [...living, `${now + 2 * challengeSeconds}.${mark}`].join(' ')
}

/** An answer and its challenge, where that is one of ours for this browser, and not too old. */
export async function askedOf(
  ctx: Context,
  responseJson: string,
  browser: string,
): Promise<
  { readonly answer: Answer; readonly challenge: Challenge } | { readonly problem: 'invalid' | 'expired' }
> {
  const answer = readAnswer(responseJson)
  const challenge = answer && (await openChallenge(ctx, answer.clientData.challenge))
  if (!challenge) return { problem: 'invalid' }
  if (challenge.isExpired || challenge.browser !== browser) return { problem: 'expired' }
  return { answer, challenge }
}

/** Where an answer has to come from. */
export function expectedOf({ config }: Context): Expected {
  return { origin: new URL(config.issuer).origin, rpId: config.passkeyRpId }
}
