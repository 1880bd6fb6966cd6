import { isDeepStrictEqual } from 'node:util'
import { findSession, type Session } from '../../db/sessions/sessions.ts'
import type { Confirmation } from '../clients/confirmation.ts'
import type { Client } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import { OAuthError } from '../errors.ts'
import type { Claims } from '../keys/ring/ring.ts'
import { actOf, isExchanged } from '../protocol/act.ts'
import { requireParameter, type Form } from '../protocol/form.ts'
import { parseUuid } from '../protocol/secrets.ts'
import { itemsOf } from '../values/list.ts'
import { hasEnded } from './sent-token.ts'
import { usePersonalToken } from './personal-tokens.ts'
import { findTokenSession } from './token-session.ts'

/** An access token that was presented to be exchanged, or to act with, and its session, which lives. */
export interface PresentedToken {
  readonly claims: Claims
  readonly session: Session
}

interface Presenting {
  readonly client: Client
  readonly form: Form
  readonly confirmation: Confirmation | undefined
}

/**
 * Opens the token of an exchange. A client may present its own, and those for the APIs that it serves: a
 * token that was stolen elsewhere is of no use to it. One of its own that is bound to a key takes that key;
 * one that it was called with was bound to its caller's, which it does not have (RFC 8693 §2.1). Throws
 * `invalid_request` (RFC 8693 §2.2.2).
 */
export async function openExchanged(
  ctx: Context,
  { client, form, confirmation }: Presenting,
  name: 'subject_token' | 'actor_token',
): Promise<PresentedToken> {
  const found = await findTokenSession(ctx, requireParameter(form, name))
  if (found.kind === 'none') throw refusal(name, found.reason)
  if (found.kind === 'refresh_token') throw refusal(name, 'it is a refresh token')
  const { session } = found
  const claims = found.kind === 'access_token' ? found.claims : await claimsOfPersonal(ctx, name, session)
  const isOwn = claims['client_id'] === client.id
  if (!isOwn && !itemsOf(client.introspects).includes(String(claims['aud'])))
    throw refusal(name, `it is for ${String(claims['aud'])}, which the client does not serve`)
  if (isOwn && claims['cnf'] !== undefined && !isDeepStrictEqual(claims['cnf'], confirmation?.cnf))
    throw refusal(name, 'it is bound to a key of the client that was not shown')
  if (hasEnded(session, ctx.clock.now())) throw refusal(name, 'its session has ended')
  const reason = await whyExchangeEnded(ctx, claims)
  if (reason !== undefined) throw refusal(name, reason)
  if (found.kind === 'personal_access_token') ctx.sessions.noteTokenUse(session)
  return { claims, session }
}

/** Those of a personal access token, which is not to act with: it is its owner's, who acts by itself. */
async function claimsOfPersonal(
  ctx: Context,
  name: 'subject_token' | 'actor_token',
  session: Session,
): Promise<Claims> {
  if (name === 'actor_token') throw refusal(name, 'it is a personal access token')
  const claims = await usePersonalToken(ctx, session)
  if (typeof claims === 'string') throw refusal(name, claims)
  return claims
}

/** One public text for all cases; the log has the cause. */
function refusal(name: string, cause: string): OAuthError {
  return new OAuthError(
    'invalid_request',
    `the ${name} is not valid, has expired, was revoked, or is not one that this client may exchange`,
    { cause },
  )
}

/**
 * Why a token that was exchanged counts no more, although its own session lives: the client that exchanged it
 * was ended, or the one that acts by a token of its own. Undefined where it counts, and for any other token,
 * of which nothing is read.
 */
export async function whyExchangeEnded(
  { db, clock }: Pick<Context, 'db' | 'clock'>,
  claims: Claims,
): Promise<string | undefined> {
  if (!isExchanged(claims)) return undefined
  for (const sid of [claims['client_sid'], actOf(claims)?.sid]) {
    if (sid === undefined) continue
    const id = parseUuid(String(sid))
    const session = id && (await findSession(db, id))
    if (!session || hasEnded(session, clock.now()))
      return 'the session of the client that exchanged it, or acts, has ended'
  }
  return undefined
}
