import { randomBytes, timingSafeEqual } from 'node:crypto'
import { comparedName } from '../../db/users/compared-name.ts'
import type { UserTable } from '../../db/schema.ts'
import { findUser, findUserById } from '../../db/users/users.ts'
import type { Caller } from '../clients/caller.ts'
import type { Context } from '../context.ts'
import { openValue, sealValue } from '../keys/sealed.ts'
import { formatUuid, newUuid, ownUuid } from '../protocol/secrets.ts'
import type { Event } from '../record/events.ts'
import { auditEntry } from '../record/record.ts'
import { codeLimit, triedNamesSourceLimit } from '../users/guess-limits.ts'
import type { Allowance } from '../users/throttle.ts'
import { hmacSha256 } from '../values/sha256.ts'
import { makeLink, secondsOfLink, type LinkFacts } from './links.ts'
import { verifiedAddressOf } from './mailed.ts'

/**
 * A code stands beside a mailed link, for who reads mails on another device: typed where the mail was asked
 * for, it does what following the link does. Nothing is stored for it. The page that waits has a secret,
 * sealed, and the code is made from that and from the user's row. So it is good until the row changes, as the
 * link is: one that was followed ends the code too.
 */
export interface Waiting {
  readonly kind: 'reset' | 'sign_up' | 'verification'
  /** A user name or a mail address, as typed by anybody. */
  readonly name: string
  /** From which the code is made. It is shown to no one. */
  readonly secret: Buffer
  /**
   * Of a sign-up: the user who is not there yet, and would be the same by the link. Of a verification: the
   * user who has typed the address, and alone may type its code.
   */
  readonly userId: Buffer
}

/** The content of the sealed text. */
interface SealedWaiting {
  readonly kind: Waiting['kind']
  readonly name: string
  readonly secret: string
  readonly user: string
  readonly browser: string
  readonly at: number
}

/** No user has a longer name, and it would make addresses too long for proxies. */
const nameLengthMax = 320

/** Waits for a mail that is about to be asked for, whether one will be sent or not. */
export function newWaiting(
  { clock }: Pick<Context, 'clock'>,
  kind: Waiting['kind'],
  name: string,
  userId = newUuid(clock.now()),
): Waiting {
  return { kind, name, secret: randomBytes(16), userId }
}

/** For the page that waits. `browser`: SHA-256 of its cookie, in base64url; elsewhere it is of no use. */
export function sealWaiting(
  { config, rootKeys, clock }: Pick<Context, 'config' | 'rootKeys' | 'clock'>,
  { kind, name, secret, userId }: Waiting,
  browser: string,
): string {
  const content = {
    kind,
    name: name.length > nameLengthMax ? '' : name,
    secret: secret.toString('base64url'),
    user: formatUuid(userId),
    browser,
    at: clock.now(),
  } satisfies SealedWaiting
  return sealValue(rootKeys, 'mailed code', config.issuer, content)
}

interface Facts extends Omit<LinkFacts, 'request'> {
  /** Null for a sign-up. */
  readonly user: UserTable | null
}

/** What a mail for this name is about: undefined where none is sent. */
export async function factsOf(
  { db }: Pick<Context, 'db'>,
  { kind, name, userId }: Waiting,
): Promise<Facts | undefined> {
  if (kind === 'verification') {
    const owner = await findUserById(db, userId)
    if (owner?.disabled_at !== null) return undefined
    const { epoch, mail_epoch } = owner
    // A code that was typed before is the same still: the owner has the address by now.
    const isBefore = verifiedAddressOf(owner) === name
    const epochs = { epoch, mail_epoch: isBefore ? mail_epoch - 1 : mail_epoch }
    return { user: owner, userId, epochs, mail: name }
  }
  const user = await findUser(db, name)
  if (kind === 'sign_up') return user ? undefined : { user: null, userId, epochs: null, mail: name }
  const mail = user?.disabled_at === null ? verifiedAddressOf(user) : undefined
  return user && mail !== undefined ? { user, userId: user.id, epochs: user, mail } : undefined
}

/** Eight digits. */
export function codeOf({ kind, secret }: Waiting, facts: Omit<Facts, 'user'>): string {
  const { userId, epochs, mail } = facts
  const parts = [kind, formatUuid(userId), epochs?.epoch, epochs?.mail_epoch, mail]
  return String(hmacSha256(secret, JSON.stringify(parts)).readUIntBE(0, 6) % 1e8).padStart(8, '0')
}

/** Why a code is not taken. `code_expired`: of another browser too, or not of ours. */
export type CodeProblem = 'code_wrong' | 'code_expired' | 'codes_throttled'

export interface TypedCode {
  readonly kind: Waiting['kind']
  /** Who is logged in, where that matters: the code of another account is none. */
  readonly userId?: Buffer
  /** The sealed text of the page that waits. */
  readonly sealed: string
  /** Of the browser in which it is typed; undefined where that has shown none. */
  readonly browser: string | undefined
  readonly code: string
  readonly caller: Caller
}

/** The link that a code stands for, or why it stands for none. `request`: the one that goes on. */
export async function linkOfCode(
  ctx: Context,
  typed: TypedCode,
  request: string | null,
): Promise<{ readonly href: string } | CodeProblem> {
  const facts = await factsOfCode(ctx, typed)
  return typeof facts === 'string' ? facts : makeLink(ctx, typed.kind, { ...facts, request })
}

/** What the mail was about whose code was typed, or why it is none. Guesses count for any name. */
export async function factsOfCode(
  ctx: Context,
  { kind, userId: loggedIn, sealed, browser, code, caller }: TypedCode,
): Promise<Facts | CodeProblem> {
  const content = await openValue(ctx, 'mailed code', ctx.config.issuer, sealed)
  if (!content || content['browser'] !== browser || content['kind'] !== kind) return 'code_expired'
  // Only this installation can have sealed it, so it is what `sealWaiting` has made.
  const { name, secret, user, at } = content as unknown as SealedWaiting
  if (Math.abs(ctx.clock.now() - at) >= secondsOfLink(kind)) return 'code_expired'
  const { source } = caller
  if (loggedIn && user !== formatUuid(loggedIn)) return 'code_expired'
  // An address may be typed by many who are logged in: those who guess keep no other from it.
  const counted = kind === 'verification' ? user : comparedName(name)
  const ofName: Allowance = { of: ['mailed code', kind, counted], limit: codeLimit }
  const ofSource: Allowance = { of: ['mailed codes of a source', source ?? ''], limit: triedNamesSourceLimit }
  const tried = source === undefined ? [ofName] : [ofName, ofSource]
  if ((await ctx.users.throttle.count(tried)) > 0) {
    noteRefused(ctx, caller, { event: 'mailed_code_throttled', userId: null, detail: { link: kind } })
    return 'codes_throttled'
  }
  const waiting = { kind, name, secret: Buffer.from(secret, 'base64url'), userId: ownUuid(user) }
  const facts = await factsOf(ctx, waiting)
  const typed = Buffer.from(code.replace(/[\s-]/g, ''))
  // Of a name for which no mail is sent no code is right; it is made all the same.
  const right = Buffer.from(codeOf(waiting, facts ?? { userId: waiting.userId, epochs: null, mail: name }))
  const isRight = typed.length === right.length && timingSafeEqual(typed, right)
  if (facts && isRight) return facts
  const userId = facts?.user?.id ?? null
  noteRefused(ctx, caller, { event: 'mailed_code_failed', userId, detail: { link: kind } })
  return 'code_wrong'
}

/** Told to the log and, with others of its kind, to the audit trail. */
function noteRefused(
  { audit, clock, log }: Pick<Context, 'audit' | 'clock' | 'log'>,
  { address, requestId, source }: Caller,
  event: Event<'mailed_code_failed' | 'mailed_code_throttled'>,
): void {
  const actor = { kind: 'nobody', caller: { address, requestId } } as const
  log.info({ event: event.event, address }, 'a mailed code was refused')
  audit.note(auditEntry({ clock, actor }, event), source)
}
