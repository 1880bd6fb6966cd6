import { findUserById } from '../../db/users/users.ts'
import { floorOf } from '../authorization/look.ts'
import { spendProof } from '../clients/confirmation.ts'
import type { Context } from '../context.ts'
import { OAuthError, unavailable } from '../errors.ts'
import { administers } from '../protocol/admin-roles.ts'
import { parseUuid } from '../protocol/secrets.ts'
import type { Granted } from '../sessions/granted.ts'
import { startSession } from '../sessions/start.ts'
import { resourcesOf, targetOf } from '../sessions/target.ts'
import { rolesNow } from '../users/roles.ts'
import type { Grant, TokenRequest } from './grant.ts'
import { machineToken } from './machine-token.ts'

/**
 * RFC 7523 §2.1: a token for the client that a trusted issuer names, or for a user in whose name it acts,
 * within what the client was granted.
 */
export const jwtBearerGrant: Grant = {
  rank: 'other',
  decide: (ctx, request) => {
    const { proof } = request
    if (!proof) throw new Error('unreachable: the endpoint reads the assertion of this grant')
    return proof.user === null
      ? machineToken(ctx, request, proof.spend)
      : userToken(ctx, request, { sub: proof.user, spend: proof.spend })
  },
}

/**
 * A token of a session that lasts as long as the token: the outside issuer says anew who it is. Refuses users
 * who administer, and those of whom more than one factor is demanded here.
 */
async function userToken(
  ctx: Context,
  { client, form, caller, confirmation }: TokenRequest,
  { sub, spend }: { readonly sub: string; readonly spend: () => Promise<void> },
): Promise<Granted> {
  const resources = await resourcesOf(ctx, client)
  const target = targetOf(ctx, { client, resources }, form, { scope: client.scope, resource: null })
  const id = parseUuid(sub)
  const user = id && (await findUserById(ctx.db, id))
  if (!user) throw refusal('the user that it names is unknown')
  if (user.disabled_at !== null) throw refusal('the user that it names is disabled')
  if (administers(await rolesNow(ctx.db, user))) throw refusal('the user that it names administers')
  if ((await floorOf(ctx, client, user)) !== 'pwd')
    throw refusal('the user that it names needs a second factor')
  if (confirmation?.proof) await spendProof(ctx, confirmation.proof)
  await spend()
  const granted = await startSession(ctx, {
    client,
    user,
    caller,
    confirmation,
    authorization: { scope: target.scope, resource: form.get('resource') ?? null },
    target,
    amr: '',
    knownSources: undefined,
    endsAt: ctx.clock.now() + target.accessTokenSeconds,
  })
  if (granted) return granted
  throw unavailable("the user's or client's epoch was raised while the assertion was checked")
}

const refusal = (cause: string) =>
  new OAuthError('invalid_grant', 'the assertion is genuine, but its user can get no token by it', { cause })
