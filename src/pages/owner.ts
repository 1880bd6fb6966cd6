import { lookForNeeds } from '../authorization/look.ts'
import { fresh } from '../authorization/requests.ts'
import { accountClient, accountClientId, accountPath } from '../clients/account-client.ts'
import { findFactors, hasSecondFactor } from '../factors/factors.ts'
import { plainRequest, type AuthorizationRequest } from '../protocol/authorization-request.ts'
import { newUuid } from '../protocol/secrets.ts'
import type { SignIn } from '../sessions/sign-in.ts'
import { currentSignIn, follow } from './proceed.ts'
import type { Visit } from './visit.ts'

/** How new a log-in has to be for a change of the account, in seconds. */
export const changeSeconds = 900

export interface OwnerOptions {
  /** How old the log-in may be, in seconds, for what changes something. It has all factors that there are. */
  readonly freshSeconds?: number
  /** The page to come back to, as a path of ours; without it, the one that was asked for. */
  readonly back?: string
}

/**
 * Whose account it is that this browser is logged in to. Undefined where there is no log-in, or it is not
 * good enough: then the person has been led to /log-in, and comes back from there.
 */
export async function requireOwner(
  visit: Visit,
  { freshSeconds, back }: OwnerOptions = {},
): Promise<SignIn | undefined> {
  const { ctx } = visit
  const signIn = await currentSignIn(visit)
  const isStrict = freshSeconds !== undefined && signIn !== undefined
  const hasMore = isStrict && hasSecondFactor(await findFactors(ctx, signIn.user_id))
  const now = ctx.clock.now()
  const request: AuthorizationRequest = {
    ...plainRequest,
    sessionId: newUuid(now),
    clientId: accountClientId,
    redirectUri: ctx.config.issuer + (back ?? pathOf(visit)),
    maxAge: freshSeconds ?? null,
    acrValues: hasMore ? ['mfa'] : [],
    madeAt: now,
  }
  const stage = { client: accountClient(ctx.config), pending: fresh(request), signIn }
  const look = await lookForNeeds(ctx, stage)
  if (look.need.kind === 'code') return signIn
  await follow(visit, stage, look)
  return undefined
}

/** Without the path of the issuer. A form that was sent leads back to the page of the same address. */
function pathOf({ ctx, request }: Visit): string {
  const base = new URL(ctx.config.issuer).pathname.replace(/\/$/, '')
  const path = request.url.startsWith(base) ? request.url.slice(base.length) : request.url
  return path.startsWith(accountPath) ? path : accountPath
}
