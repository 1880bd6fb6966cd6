import type { Database } from '../../db/database.ts'
import type { SignInTable, UserTable } from '../../db/schema.ts'
import type { SeenSignIn } from '../../db/users/sign-in-ends.ts'
import {
  findLeftSignIn as findLeftSignInRow,
  findSignIn as findSignInRow,
  insertSignIn,
  renewSignIn,
  touchSignIn,
  type AddedSignIn,
  type FoundSignIn,
  type LeftSignIn,
} from '../../db/users/sign-ins.ts'
import type { Context } from '../context.ts'
import { eventsOfSignIn } from '../endings/ended-events.ts'
import { formatUuid, hashSecret, isSameHash, newSessionSecret, newUuid } from '../protocol/secrets.ts'
import { openSignInCookie, sealSignInCookie } from '../protocol/sign-in-cookie.ts'
import type { RequestOrigin } from '../record/actor.ts'
import { byUser, record } from '../record/record.ts'
import { openUnlessBehind } from './token-session.ts'

/** A browser in which a user is logged in, as it is now, with the user. */
export type SignIn = FoundSignIn

export type { LeftSignIn }

/** So often at the most it is noted that a sign-in is used, in seconds. */
const touchSeconds = 60

/**
 * The sign-in that this cookie is of; undefined for any other text, and for one that has ended. One that is
 * forged costs no database access. 503 where only another instance can tell.
 */
export async function findSignIn(
  ctx: Context,
  cookieText: string | undefined,
  { address }: Pick<RequestOrigin, 'address'>,
): Promise<SignIn | undefined> {
  const found = await findOfCookie(ctx, cookieText, findSignInRow)
  const now = ctx.clock.now()
  if (!found) return undefined
  if (Math.abs(now - found.used_at) < touchSeconds) return found
  await touchSignIn(ctx.db, found, { now, address })
  return { ...found, used_at: now, last_address: address }
}

/**
 * The sign-in of this cookie where a restored backup has ended it, though its sessions go on. It does not say
 * who is logged in: it is there for a log-out to end those sessions, and for the next log-in of the browser
 * to take them over.
 */
export async function findLeftSignIn(
  ctx: Context,
  cookieText: string | undefined,
): Promise<LeftSignIn | undefined> {
  return findOfCookie(ctx, cookieText, findLeftSignInRow)
}

async function findOfCookie<Row extends SignInTable>(
  ctx: Context,
  cookieText: string | undefined,
  find: (db: Database, id: Buffer) => Promise<Row | undefined>,
): Promise<Row | undefined> {
  if (cookieText === undefined) return undefined
  const opened = await openUnlessBehind(ctx, () => openSignInCookie(ctx.rootKeys.signInKeyOf, cookieText))
  // One of a later version is of no use here, and the next log-in replaces it.
  if (opened.kind !== 'genuine') return undefined
  const { signInId, secret } = opened.cookie
  const found = await find(ctx.db, signInId)
  const isGood =
    found && found.expires_at > ctx.clock.now() && isSameHash(found.secret_hash, hashSecret(secret))
  return isGood ? found : undefined
}

/** What is known of the sign-in that a browser has, or had. */
type SignInOfBrowser = SeenSignIn & Pick<SignInTable, 'secret_hash' | 'expires_at' | 'amr'>

export interface SignInStart {
  /** As read before it was checked who it is. */
  readonly user: UserTable
  readonly caller: RequestOrigin
  /** What the browser calls itself. */
  readonly userAgent: string | undefined
  /** Authentication methods (RFC 8176), separated by spaces. */
  readonly amr: string
  /** Whether the user stays logged in when the browser is closed. */
  readonly isPersistent: boolean
  /** SHA-256 of the cookie that tells browsers apart: a log-out ends all that the user has in this one. */
  readonly browser: Buffer | null
  /** The one that the browser has shown with this very request. */
  readonly replaces: SignInOfBrowser | undefined
  /** Where the user has logged in from lately, if that has changed. */
  readonly knownSources: Buffer | undefined
}

export interface StartedSignIn {
  readonly signIn: SignIn
  /**
   * The text of the cookie that the browser gets. Undefined where another request of the same browser was
   * faster: that one's answer has the cookie that counts, whichever answer comes last.
   */
  readonly cookie: string | undefined
}

/**
 * Lets a browser in, after its user has proved who it is. The same user in a browser gets the same sign-in,
 * as of now and with another secret; another user gets another one, and the one before ends with its
 * sessions, as does the one unused for longest of a user who has too many. Undefined when the user was
 * disabled or the epoch raised since.
 */
export async function startSignIn(ctx: Context, start: SignInStart): Promise<StartedSignIn | undefined> {
  const { user, replaces } = start
  if (!replaces?.user_id.equals(user.id)) return addSignIn(ctx, start, replaces)
  const renewed = await stepUp(ctx, start, replaces)
  if (renewed) return renewed
  const present = await findSignInRow(ctx.db, replaces.id)
  if (!present || present.user.epoch !== user.epoch) return addSignIn(ctx, start, undefined)
  // Two log-ins in one browser at once: both have proved who it is, each by what it has shown itself.
  return { signIn: { ...present, amr: start.amr, auth_time: ctx.clock.now() }, cookie: undefined }
}

/** A new row, in place of that of another user. */
async function addSignIn(
  ctx: Context,
  start: SignInStart,
  replaces: SignInOfBrowser | undefined,
): Promise<StartedSignIn | undefined> {
  const { user, caller, knownSources, amr, isPersistent } = start
  const now = ctx.clock.now()
  const secret = newSessionSecret()
  const id = newUuid(now)
  const signIn = { id, created_at: now, first_address: caller.address, ...logInOf(ctx, start, now, secret) }
  const end = { now, reason: 'another user logged in' } as const
  const bound = { signInsMax: ctx.config.sessionsPerUser, end: { now, reason: 'limit' } } as const
  const detail = { sign_in: formatUuid(id), amr, persistent: isPersistent }
  const added = await record(
    byUser(ctx, user.id, caller),
    ({ replaced, surplus }: AddedSignIn) => [
      { event: 'sign_in_started', userId: user.id, detail },
      ...replaced.flatMap(one => eventsOfSignIn(one, end)),
      ...surplus.flatMap(one => eventsOfSignIn(one, bound.end)),
    ],
    db =>
      insertSignIn(
        db,
        signIn,
        { user, knownSources },
        { replaced: replaces && { signIn: replaces, end }, bound },
      ),
  )
  return added && { signIn: { ...added.signIn, user }, cookie: cookieOf(ctx, id, secret) }
}

/** The same row with another secret. */
async function stepUp(
  ctx: Context,
  start: SignInStart,
  replaces: SignInOfBrowser,
): Promise<StartedSignIn | undefined> {
  const { user, caller, knownSources, amr } = start
  const now = ctx.clock.now()
  const secret = newSessionSecret()
  const { id } = replaces
  const logIn = logInOf(ctx, start, now, secret)
  // No earlier than before: sessions that end with it may live as long.
  const renewal = { ...logIn, expires_at: Math.max(logIn.expires_at, replaces.expires_at) }
  const renewed = await record(
    byUser(ctx, user.id, caller),
    {
      event: 'sign_in_renewed',
      userId: user.id,
      detail: { sign_in: formatUuid(id), amr, amr_before: replaces.amr },
    },
    db => renewSignIn(db, replaces, renewal, { user, knownSources }),
  )
  return renewed && { signIn: { ...renewed, user }, cookie: cookieOf(ctx, id, secret) }
}

/** Longer ones are cut. */
const userAgentLength = 200

/** The columns that each log-in sets. */
function logInOf({ config }: Context, start: SignInStart, now: number, secret: Buffer) {
  const { caller, userAgent = '', amr, isPersistent, browser } = start
  return {
    secret_hash: hashSecret(secret),
    auth_time: now,
    amr,
    used_at: now,
    expires_at: now + (isPersistent ? config.signInSeconds : config.signInSessionSeconds),
    is_persistent: isPersistent ? 1 : 0,
    last_address: caller.address,
    user_agent: userAgent.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '').slice(0, userAgentLength),
    browser,
  }
}

/** The text of the cookie. */
export function cookieOf({ rootKeys }: Pick<Context, 'rootKeys'>, signInId: Buffer, secret: Buffer): string {
  return sealSignInCookie(rootKeys.signInKeyOf, { rootKeyId: rootKeys.currentId, signInId, secret })
}
