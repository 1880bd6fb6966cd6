import type { UserTable } from '../../db/schema.ts'
import { insertLogIn, type NewLogIn } from '../../db/sessions/sessions.ts'
import type { Caller } from '../clients/caller.ts'
import { boundKey, type Confirmation } from '../clients/confirmation.ts'
import type { Client } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import { unavailable } from '../errors.ts'
import { hashSecret, newSessionSecret, newUuid } from '../protocol/secrets.ts'
import { byClient, record } from '../record/record.ts'
import { grantedOf, type Granted } from './granted.ts'
import { idleSeconds } from './refresh-policy.ts'
import type { Authorization, Target } from './target.ts'

/** A user who has logged in, and what the session is to be good for. */
export interface SessionStart {
  readonly client: Client
  /** As read before it was checked who it is: the session starts only while the epoch is still the same. */
  readonly user: UserTable
  readonly caller: Caller
  readonly confirmation: Confirmation | undefined
  readonly authorization: Authorization
  /** The target of the first access token. */
  readonly target: Target
  /** Authentication methods (RFC 8176), separated by spaces. */
  readonly amr: string
  /** Where the user has logged in from lately, if that has changed. */
  readonly knownSources: Buffer | undefined
}

/**
 * Starts a session of a user, in place of the one unused for longest where the user has too many through this
 * client. Throws `temporarily_unavailable` (503) when the user's or the client's epoch is raised during it:
 * the same request again meets the new password, or the disabled user, and gets its answer.
 */
export async function startSession(ctx: Context, start: SessionStart): Promise<Granted> {
  const { client, user, caller, confirmation, authorization } = start
  const now = ctx.clock.now()
  const secret = newSessionSecret()
  const absoluteExpiresAt = now + (client.refresh_absolute_seconds ?? ctx.config.refreshAbsoluteSeconds)
  const session = {
    id: newUuid(now),
    user_id: user.id,
    client_id: client.id,
    user_epoch: user.epoch,
    client_epoch: client.epoch,
    secret_hash: hashSecret(secret),
    scope: authorization.scope,
    resource: authorization.resource,
    auth_time: now,
    amr: start.amr,
    expires_at: Math.min(now + idleSeconds(ctx, client), absoluteExpiresAt),
    absolute_expires_at: absoluteExpiresAt,
    status_position: await ctx.sessions.nextStatusPosition(absoluteExpiresAt),
    last_address: caller.address,
    key_thumbprint: boundKey(client, confirmation),
  }
  await store(ctx, start, session)
  const mayRefresh = client.grant_types.split(' ').includes('refresh_token')
  const refresh = mayRefresh ? { secret, generation: 0 } : undefined
  return grantedOf(ctx, { ...session, roles: user.roles }, start.target, refresh)
}

async function store(
  ctx: Context,
  { client, caller, knownSources }: SessionStart,
  session: NewLogIn['session'],
): Promise<void> {
  const { id: sessionId, user_id: userId, auth_time: at } = session
  const facts = { userId, clientId: client.id }
  const reason = 'limit'
  const ended = await record(
    byClient(ctx, client.id, caller),
    (surplus: readonly Buffer[]) => [
      { event: 'log_in', ...facts, sessionId },
      ...surplus.map(id => ({
        event: 'session_revoked' as const,
        ...facts,
        sessionId: id,
        at,
        detail: { reason } as const,
      })),
    ],
    db =>
      insertLogIn(db, {
        session,
        knownSources,
        bound: { sessionsMax: ctx.config.sessionsPerUser, reason },
      }),
  )
  if (!ended) throw unavailable("the user's or client's epoch was raised while the password was checked")
}
