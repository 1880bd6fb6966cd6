import type { Rotation } from '../../db/batches.ts'
import { rotateSession } from '../../db/sessions/rotations.ts'
import { boundKey, spendProof } from '../clients/confirmation.ts'
import type { Context } from '../context.ts'
import { unavailable } from '../errors.ts'
import { required } from '../protocol/form.ts'
import { isBoundTo } from '../protocol/refresh-token.ts'
import { hashSecret } from '../protocol/secrets.ts'
import { grantedOf, userOf, type GrantedSession } from '../sessions/granted.ts'
import { applyVerdict, findOwnSession, refused, type Presented } from '../sessions/presented.ts'
import { idleSeconds, retrySeconds } from '../sessions/refresh-policy.ts'
import { resourcesOf, targetOf, type Authorization } from '../sessions/target.ts'
import { openPresented } from '../sessions/token-session.ts'
import type { Grant, TokenRequest } from './grant.ts'

/**
 * RFC 6749 §6, with rotation and detection of reuse as RFC 9700 §4.14.2 wants them, and with retries: the
 * successor is computed from the token presented, so a request that is repeated gets the same one.
 */
export const refreshToken: Grant = {
  rank: 'refresh',
  decide: async (ctx, request) => {
    const presented = await present(ctx, request)
    const { form } = request
    const targetFor = (authorization: Authorization) => targetOf(ctx, presented, form, authorization)

    // A client may ask for what is refused. That must cost it nothing, so look before the session moves.
    const isNarrowed = form.has('scope') || form.has('resource')
    const early = isNarrowed ? targetFor(await findOwnSession(ctx, presented)) : undefined
    const session = await refresh(ctx, presented, targetFor)
    ctx.sessions.lateness.countRefresh(userOf(session), presented.caller.source)
    return grantedOf(ctx, session, early ?? targetFor(session), {
      secret: presented.secret,
      generation: session.generation,
    })
  },
}

/**
 * Opens the token. Throws `invalid_grant` for one that is not genuine, or lacks its key; spends the DPoP
 * proof.
 */
async function present(
  ctx: Context,
  { client, form, caller, confirmation }: TokenRequest,
): Promise<Presented> {
  const opened = await openPresented(ctx, required(form, 'refresh_token'))
  if (opened.kind !== 'genuine') throw refused(`the refresh token is ${opened.kind.replaceAll('_', ' ')}`)
  const { token } = opened
  const keyThumbprint = boundKey(client, confirmation)
  if (!isBoundTo(token, keyThumbprint)) throw refused('the token is bound to a key that was not shown')
  const resources = await resourcesOf(ctx, client)
  if (confirmation?.proof) await spendProof(ctx, confirmation.proof)
  return { ...token, client, caller, keyThumbprint, resources, secretHash: hashSecret(token.secret) }
}

/** A session of which a token is handed out. */
type Refreshed = GrantedSession & Authorization & { readonly generation: number }

/**
 * The ordinary case is one statement, which checks all that a judge would. If it changes nothing, there is a
 * case to judge, on a snapshot; where another request has moved the session since then, all begins anew.
 */
async function refresh(
  ctx: Context,
  presented: Presented,
  targetFor: (authorization: Authorization) => unknown,
): Promise<Refreshed> {
  let mayRotate = presented.client.refresh_policy !== 'reuse'
  for (let attempt = 0; attempt < 6; attempt++) {
    const rotated = mayRotate ? await rotateSession(ctx.db, rotationOf(ctx, presented)) : undefined
    if (rotated) {
      ctx.counts.verdicts.rotate++
      const { sessionId: id, generation, keyThumbprint: key_thumbprint } = presented
      return { ...rotated, id, generation: generation + 1, key_thumbprint }
    }
    const session = await findOwnSession(ctx, presented)
    targetFor(session)
    const answer = await applyVerdict(ctx, presented, session)
    if (typeof answer === 'object') return answer
    mayRotate ||= answer === 'rotate'
  }
  throw unavailable('a session was moved by other requests each time it was judged')
}

function rotationOf(ctx: Context, presented: Presented): Rotation {
  const { client } = presented
  const now = ctx.clock.now()
  return {
    sessionId: presented.sessionId,
    secretHash: presented.secretHash,
    clientId: client.id,
    generation: presented.generation,
    keyThumbprint: presented.keyThumbprint,
    now,
    idleExpiresAt: now + idleSeconds(ctx, client),
    retrySeconds: retrySeconds(ctx, client),
    resources: presented.resources.map(({ uri }) => ` ${uri} `).join(''),
    mayCoalesce: client.refresh_policy !== 'strict',
    address: presented.caller.address,
  }
}
