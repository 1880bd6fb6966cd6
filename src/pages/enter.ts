import { deviceCaller } from '../clients/caller.ts'
import type { Client } from '../clients/registry.ts'
import { unavailable } from '../errors.ts'
import { newDeviceToken, sourcesAfter } from '../factors/log-in.ts'
import { joinedAmr } from '../protocol/levels.ts'
import { startSignIn, type SignIn } from '../sessions/sign-in.ts'
import { deviceTokenSeconds } from '../users/device-token.ts'
import { leftSignIn } from './proceed.ts'
import type { Visit } from './visit.ts'

/** Who comes in, and by what. */
export interface Entry {
  /** As read before it was checked who it is. */
  readonly user: SignIn['user']
  /** Authentication methods (RFC 8176), separated by spaces. */
  readonly amr: string
  readonly client: Client
  /** SHA-256 of the cookie that tells browsers apart, in base64url. */
  readonly browser: string | null
  /** Who is logged in in this browser. */
  readonly signIn: SignIn | undefined
  /** Whether the browser is to stay logged in when it is closed. */
  readonly isPersistent: boolean
}

/** Lets a browser in, which gets another cookie, whatever it had before. */
export async function enter(visit: Visit, entry: Entry): Promise<SignIn> {
  const { ctx, pages, request, reply } = visit
  const { user, amr, client, browser, isPersistent } = entry
  const logIn = { username: user.username, caller: deviceCaller(request), place: 'page', client } as const
  const started = await startSignIn(ctx, {
    user,
    caller: logIn.caller,
    userAgent: request.headers['user-agent'],
    amr,
    isPersistent,
    browser: browser === null ? null : Buffer.from(browser, 'base64url'),
    replaces: entry.signIn ?? (await leftSignIn(visit)),
    knownSources: await sourcesAfter(ctx, logIn),
  })
  if (!started) throw unavailable(new Error("the user's epoch was raised while it was checked who it is"))
  const { signIn, cookie } = started
  // Without one, another request of this browser was faster: its answer has the cookie that counts.
  if (cookie !== undefined)
    pages.cookies.signIn.set(reply, cookie, isPersistent ? ctx.config.signInSeconds : null)
  pages.cookies.device.set(reply, newDeviceToken(ctx, logIn, user), deviceTokenSeconds)
  return signIn
}

/** Raises a log-in by what its user has just shown too: the same sign-in, with another cookie. */
export async function stepUp(
  visit: Visit,
  signIn: SignIn,
  { amr, client, browser }: Pick<Entry, 'amr' | 'client' | 'browser'>,
): Promise<SignIn> {
  return enter(visit, {
    user: signIn.user,
    amr: joinedAmr(signIn.amr, amr),
    client,
    browser,
    signIn,
    isPersistent: signIn.is_persistent === 1,
  })
}
