import { listSessionsOfUser, type SessionOfUser } from '../../db/sessions/of-user.ts'
import { findSession } from '../../db/sessions/sessions.ts'
import { countSignIns, listSignIns, type ListedSignIn } from '../../db/users/sign-in-pages.ts'
import { tokensClientId } from '../clients/tokens-client.ts'
import type { Context } from '../context.ts'
import { endSignIns } from '../endings/end-sign-ins.ts'
import { endSession, endSessionsOfUser } from '../endings/end.ts'
import { byOwner } from '../factors/owner.ts'
import type { Owner } from './owner.ts'

/** Where somebody is logged in. */
export interface Places {
  /** The browsers, the present one first, and then the one that was used last. */
  readonly browsers: readonly Place[]
  /** The sessions that end with none of them, the newest first. */
  readonly apps: readonly SessionOfUser[]
  /** Whether there are personal access tokens. They have a page of their own, and end with all others. */
  readonly hasTokens: boolean
}

/** A browser, and the apps that have been opened with its log-in. */
export interface Place {
  readonly signIn: ListedSignIn
  readonly isHere: boolean
  readonly apps: readonly SessionOfUser[]
}

const notice = { kind: 'signed_out_place' } as const

/** So many sessions are shown. `endOthers` ends those beyond too. */
const shownMax = 300

export async function listPlaces(ctx: Context, { user, signIn }: Owner): Promise<Places> {
  const now = ctx.clock.now()
  const signIns: ListedSignIn[] = []
  for await (const one of listSignIns(ctx.db, { userId: user.id, livingAt: now })) signIns.push(one)
  const all = await listSessionsOfUser(ctx.db, user.id, { now, limit: shownMax })
  const sessions = all.filter(({ client_id: id }) => id !== tokensClientId)
  const ofSignIn = Map.groupBy(sessions, ({ sign_in_id: id }) => id?.toString('hex'))
  const browsers = signIns.map(one => {
    const key = one.id.toString('hex')
    const apps = ofSignIn.get(key) ?? []
    ofSignIn.delete(key)
    return { signIn: one, isHere: one.id.equals(signIn.id), apps }
  })
  return {
    browsers: browsers.sort(
      (a, b) => Number(b.isHere) - Number(a.isHere) || b.signIn.used_at - a.signIn.used_at,
    ),
    apps: [...ofSignIn.values()].flat(),
    hasTokens: sessions.length < all.length,
  }
}

/** Ends one of the owner's sign-ins, and what ends with it; false where it has ended, or there is none. */
export async function endPlace(ctx: Context, owner: Owner, signInId: Buffer): Promise<boolean> {
  const isOwn = { id: signInId, userId: owner.user.id, livingAt: ctx.clock.now() }
  if ((await countSignIns(ctx.db, isOwn)) === 0) return false
  return (await endSignIns(byOwner(ctx, owner, notice), [signInId], { reason: 'ended by its user' })) > 0
}

/** Ends one of the owner's sessions; false where it has ended, or there is none. */
export async function endApp(ctx: Context, owner: Owner, sessionId: Buffer): Promise<boolean> {
  const session = await findSession(ctx.db, sessionId)
  if (session?.user_id?.equals(owner.user.id) !== true || !session.isOfThisEpoch) return false
  return endSession(byOwner(ctx, owner, notice), session, { reason: 'ended by its user' })
}

/**
 * Ends all of the owner's sign-ins and sessions but the present sign-in and what ends with it, also those of
 * log-ins under way elsewhere; false where the present one has ended since.
 */
export async function endOthers(ctx: Context, owner: Owner): Promise<boolean> {
  const kept = { ...owner.signIn, withSessions: true }
  const end = { reason: 'ended by its user', kept } as const
  const by = byOwner(ctx, owner, { kind: 'signed_out_others' })
  return (await endSessionsOfUser(by, owner.user.id, end)) !== undefined
}
