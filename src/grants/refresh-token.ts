import type { Rotation } from '../../db/batches.ts'
import { rotateSession } from '../../db/sessions/rotations.ts'
import { boundKey, spendProof } from '../clients/confirmation.ts'
import type { Context } from '../context.ts'
import { unavailable } from '../errors.ts'
import { requireParameter, type Form } from '../protocol/form.ts'
import { isBoundTo } from '../protocol/refresh-token.ts'
import type { RoleHolder } from '../protocol/roles.ts'
import { hashSecret } from '../protocol/secrets.ts'
import { grantedOf, userOf, type GrantedSession } from '../sessions/granted.ts'
import { withClaims } from '../sessions/claims.ts'
import { applyVerdict, findOwnSession, refreshRefusal, type Presented } from '../sessions/presented.ts'
import { idleSeconds, retrySeconds } from '../sessions/refresh-policy.ts'
import { resourcesOf, targetOf, type Authorization, type Target } from '../sessions/target.ts'
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
    let early: Target | undefined
    const targetFor = (authorization: Authorization) => early ?? targetOf(ctx, presented, form, authorization)

    // A client may ask for what is refused. That must cost it nothing, so look before the session moves.
    if (asksForLess(form)) early = targetFor(await findOwnSession(ctx, presented))
    const { session, target } = await refresh(ctx, presented, targetFor)
    ctx.sessions.lateness.countRefresh(userOf(session), presented.caller.source)
    const granted = grantedOf(ctx, session, target, {
      secret: presented.secret,
      generation: session.generation,
    })
    return withClaims(ctx, granted, { client: presented.client, session, holder: session })
  },
}

function asksForLess(form: Form): boolean {
  return ['scope', 'resource', 'authorization_details'].some(name => form.has(name))
}

/**
 * Opens the token. Throws `invalid_grant` for one that is not genuine, or lacks its key; spends the DPoP
 * proof.
 */
async function present(
  ctx: Context,
  { client, form, caller, confirmation }: TokenRequest,
): Promise<Presented> {
  const opened = await openPresented(ctx, requireParameter(form, 'refresh_token'))
  if (opened.kind !== 'genuine')
    throw refreshRefusal(`the refresh token is ${opened.kind.replaceAll('_', ' ')}`)
  const { token } = opened
  const keyThumbprint = boundKey(client, confirmation)
  if (!isBoundTo(token, keyThumbprint)) throw refreshRefusal('the token is bound to a key that was not shown')
  const resources = await resourcesOf(ctx, client)
  if (confirmation?.proof) await spendProof(ctx, confirmation.proof)
  return { ...token, client, caller, keyThumbprint, resources, secretHash: hashSecret(token.secret) }
}

/** A session of which a token is handed out, and what that is for. */
interface Refreshed {
  readonly session: GrantedSession & RoleHolder & { readonly generation: number }
  readonly target: Target
}

/**
 * The ordinary case is one statement, which checks all that a judge would. If it changes nothing, there is a
 * case to judge, on a snapshot; where another request has moved the session since then, all begins anew.
 */
async function refresh(
  ctx: Context,
  presented: Presented,
  targetFor: (authorization: Authorization) => Target,
): Promise<Refreshed> {
  const isRotating = presented.client.refresh_policy !== 'reuse'
  let mayRotate = isRotating
  for (let attempt = 0; attempt < 6; attempt++) {
    const rotated = mayRotate ? await rotateSession(ctx.db, rotationOf(ctx, presented)) : undefined
    if (rotated) {
      ctx.counts.verdicts.rotate++
      const { sessionId: id, generation, keyThumbprint: key_thumbprint } = presented
      const session = { ...rotated, id, generation: generation + 1, key_thumbprint }
      return { session, target: targetFor(session) }
    }
    const found = await findOwnSession(ctx, presented)
    const target = targetFor(found)
    const answer = await applyVerdict(ctx, presented, found)
    if (typeof answer === 'object') return { session: answer, target }
    mayRotate = isRotating || answer === 'rotate'
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
