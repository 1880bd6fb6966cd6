import { isDeepStrictEqual } from 'node:util'
import { findSession, type Session } from '../../db/sessions/sessions.ts'
import type { Confirmation } from '../clients/confirmation.ts'
import type { Client } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import { OAuthError } from '../errors.ts'
import type { Claims } from '../keys/ring/ring.ts'
import { earlierSessions, isExchanged } from '../protocol/act.ts'
import { requireParameter, type Form } from '../protocol/form.ts'
import { parseUuid } from '../protocol/secrets.ts'
import { itemsOf } from '../values/list.ts'
import { hasEnded } from './sent-token.ts'
import { usePersonalToken } from './personal-tokens.ts'
import { findTokenSession, type TokenSession } from './token-session.ts'
import { countTokenUse } from './token-uses.ts'

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
  { form, ...presenting }: Presenting,
  name: 'subject_token' | 'actor_token',
): Promise<PresentedToken> {
  const text = requireParameter(form, name)
  const found = await findTokenSession(ctx, text)
  const opened = await openFound(ctx, found, { ...presenting, isActor: name === 'actor_token' })
  const isOpen = typeof opened === 'object'
  countTokenUse(ctx, { text, found }, isOpen ? 'exchanged' : undefined)
  if (isOpen) return opened
  throw refusal(name, opened)
}

interface Presented extends Omit<Presenting, 'form'> {
  /** Whether it is to act with. */
  readonly isActor: boolean
}

/** The claims of what was found, and its session; otherwise why it is of no use here, for the log. */
async function openFound(
  ctx: Context,
  found: TokenSession,
  { client, confirmation, isActor }: Presented,
): Promise<PresentedToken | string> {
  if (found.kind === 'none') return found.reason
  if (found.kind === 'refresh_token') return 'it is a refresh token'
  const { session } = found
  // It is its owner's, who acts by itself.
  if (found.kind === 'personal_access_token' && isActor) return 'it is a personal access token'
  const claims = found.kind === 'access_token' ? found.claims : await usePersonalToken(ctx, session)
  if (typeof claims === 'string') return claims
  const isOwn = claims['client_id'] === client.id
  if (!isOwn && !itemsOf(client.introspects).includes(String(claims['aud'])))
    return `it is for ${String(claims['aud'])}, which the client does not serve`
  if (isOwn && claims['cnf'] !== undefined && !isDeepStrictEqual(claims['cnf'], confirmation?.cnf))
    return 'it is bound to a key of the client that was not shown'
  if (hasEnded(session, ctx.clock.now())) return 'its session has ended'
  const reason = await whyExchangeEnded(ctx, claims)
  if (reason !== undefined) return reason
  if (found.kind === 'personal_access_token') ctx.sessions.noteTokenUse(session)
  return { claims, session }
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
 * Why a token that was exchanged counts no more, although its own session lives: a client that exchanged it,
 * or a token before it, was ended, or one that acts by a token of its own. Undefined where it counts, and for
 * any other token, of which nothing is read.
 */
export function whyExchangeEnded(
  ctx: Pick<Context, 'db' | 'clock'>,
  claims: Claims,
): Promise<string | undefined> | undefined {
  return isExchanged(claims) ? whyEnded(ctx, claims) : undefined
}

async function whyEnded(
  { db, clock }: Pick<Context, 'db' | 'clock'>,
  claims: Claims,
): Promise<string | undefined> {
  for (const { sid } of earlierSessions(claims)) {
    const id = parseUuid(sid)
    const session = id && (await findSession(db, id))
    if (!session || hasEnded(session, clock.now()))
      return 'the session of the client that exchanged it, or acts, has ended'
  }
  return undefined
}
