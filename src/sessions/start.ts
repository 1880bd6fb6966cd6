import type { UserTable } from '../../db/schema.ts'
import { insertLogIn, type NewLogIn } from '../../db/sessions/sessions.ts'
import { audited } from '../../db/writer.ts'
import type { Caller } from '../clients/caller.ts'
import { boundKey, type Confirmation } from '../clients/confirmation.ts'
import type { Client } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import { unavailable } from '../errors.ts'
import { formatUuid, hashSecret, newSessionSecret, newUuid } from '../protocol/secrets.ts'
import { requestEntry } from '../record/audit-trail.ts'
import { logRevocation } from '../record/log-revocation.ts'
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
  /** What the first access token is for. */
  readonly target: Target
  /** Authentication methods (RFC 8176), separated by spaces. */
  readonly amr: string
  /** Where the user has logged in from lately, if that has changed. */
  readonly knownSources: Buffer | undefined
}

/**
 * Starts a session of a user, in place of the one unused for longest where the user has too many through this client.
 * Throws `temporarily_unavailable` (503) when the user's or the client's epoch was raised meanwhile: the same request again
 * meets the new password, or the disabled user, and gets its answer.
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

/** Why a session is ended for the sake of a newer one. */
const reason = 'limit'

async function store(
  ctx: Context,
  { client, caller, knownSources }: SessionStart,
  session: NewLogIn['session'],
): Promise<void> {
  const facts = { at: session.auth_time, userId: session.user_id }
  const entriesOf = (ended: unknown) => [
    requestEntry(client, caller, { ...facts, event: 'log_in', sessionId: session.id }),
    ...(ended as readonly Buffer[]).map(sessionId =>
      requestEntry(client, caller, { ...facts, event: 'session_revoked', sessionId, detail: { reason } }),
    ),
  ]
  const ended = await insertLogIn(audited(ctx.db, entriesOf), {
    session,
    knownSources,
    bound: { sessionsMax: ctx.config.sessionsPerUser, reason },
  })
  if (!ended) throw unavailable("the user's or client's epoch was raised while the password was checked")
  ctx.counts.revocations.limit += ended.length
  const told = { at: facts.at, by: 'server', client_id: client.id, sub: formatUuid(session.user_id) }
  for (const sid of ended.map(formatUuid))
    logRevocation(ctx.log, { event: 'session_revoked', sid }, { reason, ...told })
}
