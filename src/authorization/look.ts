import { accountClientId } from '../clients/account-client.ts'
import { consoleClientId, isConsoleAtIssuer } from '../clients/console-client.ts'
import type { Client } from '../clients/registry.ts'
import type { Config } from '../config/load.ts'
import type { Context } from '../context.ts'
import { findFactors, reachableLevels } from '../factors/factors.ts'
import { passkeysPossible } from '../factors/passkeys.ts'
import type { AuthorizationRequest } from '../protocol/authorization-request.ts'
import { attainableLevels, levelsOf, strongerOf, type Level } from '../protocol/levels.ts'
import type { RoleHolder } from '../protocol/roles.ts'
import { formatUuid } from '../protocol/secrets.ts'
import type { SignIn } from '../sessions/sign-in.ts'
import { rolesNow } from '../users/roles.ts'
import { itemsOf } from '../values/list.ts'
import { findAllowed, type Allowed } from './consents.ts'
import { judgeNeeds, neededLevel, type Need } from './needs.ts'
import type { PendingRequest } from './requests.ts'

/** Where a request has come in one browser. */
export interface Whereabouts {
  readonly client: Client
  /** The request, and what the person has said so far of who is meant. */
  readonly pending: Pick<PendingRequest, 'request'> &
    Partial<Pick<PendingRequest, 'signIn' | 'user' | 'wantsAnother'>>
  /** Who is logged in in that browser. */
  readonly signIn:
    (Pick<SignIn, 'id' | 'user_id' | 'auth_time' | 'amr'> & { readonly user: RoleHolder }) | undefined
  /** Whether the person has just allowed this very request. */
  readonly hasConsented?: boolean
}

/** What a request still needs, and what its user has allowed, where the client asks that. */
export interface Look {
  readonly need: Need
  readonly allowed: Allowed | undefined
}

/** What a request still needs, by what is known of it now. */
export async function lookForNeeds(
  ctx: Pick<Context, 'db' | 'clock' | 'config'>,
  { client, pending, signIn, hasConsented = false }: Whereabouts,
): Promise<Look> {
  const { request, wantsAnother = false } = pending
  const { resource } = request
  const allowed =
    signIn && client.consent === 'once'
      ? await findAllowed(ctx, { userId: signIn.user_id, clientId: client.id, resource })
      : undefined
  const floor = await floorOf(ctx, client, signIn?.user)
  const attainable = attainableLevels(passkeysPossible(ctx.config))
  const levels = levelsOf(itemsOf(signIn?.amr ?? ''))
  const needed = neededLevel(request, { floor, attainable })
  // Only who has to raise the level is asked what with.
  const factors = signIn && needed && !levels.includes(needed) && (await findFactors(ctx, signIn.user_id))
  const need = judgeNeeds(request, {
    signIn: signIn && {
      sub: formatUuid(signIn.user_id),
      authTime: signIn.auth_time,
      levels,
    },
    isForThisRequest: isSame(signIn?.id, pending.signIn),
    isChosen: isSame(signIn?.user_id, pending.user),
    wantsAnother,
    isClientSure: isSure(ctx.config, client, request),
    policy: client.consent,
    allowedScope: allowed?.scope,
    hasConsented,
    floor,
    attainable,
    reachable: factors ? reachableLevels(factors) : [],
    now: ctx.clock.now(),
  })
  return { need, allowed }
}

/**
 * Whether no other app can pass for the client: it authenticates, or its answer goes to a site that is its
 * own, and not to whichever program on the person's device has the address or the scheme (RFC 8252 §8.6).
 */
function isSure(
  config: Pick<Config, 'issuer'>,
  { id, auth_method }: Client,
  { redirectUri }: AuthorizationRequest,
): boolean {
  if (id === accountClientId || auth_method !== 'none' || redirectUri.startsWith('https:')) return true
  return id === consoleClientId && isConsoleAtIssuer(config, redirectUri)
}

/** Its holders administer the installation by its own pages. */
const adminRole = 'mintmark:admin'

/** The level without which the client, or the installation, lets this user not in. */
export async function floorOf(
  { config: { requireSecondFactor }, db }: Pick<Context, 'config' | 'db'>,
  { acr }: Pick<Client, 'acr'>,
  user: RoleHolder | undefined,
): Promise<Level> {
  const isMeant =
    requireSecondFactor === 'all' ||
    (requireSecondFactor === 'admins' && user !== undefined && (await rolesNow(db, user)).includes(adminRole))
  return isMeant ? strongerOf(acr, 'mfa') : acr
}

function isSame(one: Buffer | undefined, other: Buffer | null | undefined): boolean {
  return one !== undefined && other?.equals(one) === true
}
