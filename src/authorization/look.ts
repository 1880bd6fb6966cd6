import type { Client } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import { attainableLevels, levelsOf } from '../protocol/levels.ts'
import { formatUuid } from '../protocol/secrets.ts'
import type { SignIn } from '../sessions/sign-in.ts'
import { itemsOf } from '../values/list.ts'
import { findAllowed, type Allowed } from './consents.ts'
import { judgeNeeds, type Need } from './needs.ts'
import type { PendingRequest } from './requests.ts'

/** Where a request has come in one browser. */
export interface Whereabouts {
  readonly client: Client
  readonly pending: PendingRequest
  /** Who is logged in in that browser. */
  readonly signIn: Pick<SignIn, 'id' | 'user_id' | 'auth_time' | 'amr'> | undefined
  /** Whether the person has just allowed this very request. */
  readonly hasConsented: boolean
}

/** What a request still needs, and what its user has allowed, where the client asks that. */
export interface Look {
  readonly need: Need
  readonly allowed: Allowed | undefined
}

/** What a request still needs, by what is known of it now. */
export async function lookForNeeds(
  ctx: Pick<Context, 'db' | 'clock'>,
  { client, pending, signIn, hasConsented }: Whereabouts,
): Promise<Look> {
  const { request } = pending
  const { resource } = request
  const allowed =
    signIn && client.consent === 'once'
      ? await findAllowed(ctx, { userId: signIn.user_id, clientId: client.id, resource })
      : undefined
  const need = judgeNeeds(request, {
    signIn: signIn && {
      sub: formatUuid(signIn.user_id),
      authTime: signIn.auth_time,
      levels: levelsOf(itemsOf(signIn.amr)),
    },
    isForThisRequest: isSame(signIn?.id, pending.signIn),
    isChosen: isSame(signIn?.user_id, pending.user),
    wantsAnother: pending.wantsAnother,
    policy: client.consent,
    allowedScope: allowed?.scope,
    hasConsented,
    attainable: attainableLevels,
    now: ctx.clock.now(),
  })
  return { need, allowed }
}

function isSame(one: Buffer | undefined, other: Buffer | null): boolean {
  return one !== undefined && other !== null && one.equals(other)
}
