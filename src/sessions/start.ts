import type { UserTable } from '../../db/schema.ts'
import { insertLogIn, type NewLogIn } from '../../db/sessions/starts.ts'
import type { Caller } from '../clients/caller.ts'
import { boundKey, type Confirmation } from '../clients/confirmation.ts'
import type { Client } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import { eventsOfSessions } from '../endings/ended-events.ts'
import { hashSecret, newSessionSecret, newUuid } from '../protocol/secrets.ts'
import { byClient, record } from '../record/record.ts'
import { grantedOf, type Granted } from './granted.ts'
import { withClaims } from './claims.ts'
import { idleSeconds } from './refresh-policy.ts'
import type { Authorization, Target } from './target.ts'

/** A user who has logged in, and what the session is to be good for. */
export interface SessionStart {
  /** As they were before it was checked who it is: the session starts only while both epochs are the same. */
  readonly client: Client
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
  /** When it ends, of a session that nothing refreshes. */
  readonly endsAt?: number
  /** Of a session that was promised before; without it the log-in is of this moment. */
  readonly promise?: SessionPromise
}

/** What a session has from before it starts. */
export interface SessionPromise {
  /** No other session of this id starts, whatever has become of the first one. */
  readonly sessionId: Buffer
  readonly authTime: number
  /** The sign-in that it ends with; null for one that outlives it. */
  readonly signIn: { readonly id: Buffer; readonly expiresAt: number } | null
  /** The sign-in that it outlives; null where it does not, or came from none. */
  readonly outlivedSignInId: Buffer | null
  /** What the user has allowed, which must not be taken back; null where that was not asked. */
  readonly consentId: Buffer | null
  readonly nonce: string | null
  /** JSON of the claims that its request named; null for none. */
  readonly claims: string | null
}

/**
 * Starts a session of a user, in place of the one unused for longest where the user has too many through this
 * client. Undefined when the user's or the client's epoch was raised, there is a session of the promised id,
 * its sign-in has ended, or the user has taken back what was allowed.
 */
export async function startSession(ctx: Context, start: SessionStart): Promise<Granted | undefined> {
  const { client, user, caller, confirmation, authorization, promise } = start
  const now = ctx.clock.now()
  const secret = newSessionSecret()
  const absoluteExpiresAt = Math.min(
    now + (client.refresh_absolute_seconds ?? ctx.config.refreshAbsoluteSeconds),
    promise?.signIn?.expiresAt ?? Infinity,
    start.endsAt ?? Infinity,
  )
  const session = {
    id: promise?.sessionId ?? newUuid(now),
    user_id: user.id,
    client_id: client.id,
    user_epoch: user.epoch,
    client_epoch: client.epoch,
    secret_hash: hashSecret(secret),
    scope: authorization.scope,
    resource: authorization.resource,
    authorization_details: authorization.authorization_details ?? null,
    auth_time: promise?.authTime ?? now,
    started_at: now,
    amr: start.amr,
    expires_at: Math.min(now + idleSeconds(ctx, client), absoluteExpiresAt),
    absolute_expires_at: absoluteExpiresAt,
    status_position: await ctx.sessions.nextStatusPosition(absoluteExpiresAt),
    last_address: caller.address,
    key_thumbprint: boundKey(client, confirmation),
    claims: promise?.claims ?? null,
  }
  if (!(await store(ctx, start, session))) return undefined
  const mayRefresh = start.endsAt === undefined && client.grant_types.split(' ').includes('refresh_token')
  const refresh = mayRefresh ? { secret, generation: 0 } : undefined
  const granted = grantedOf(ctx, session, start.target, refresh)
  return withClaims(ctx, granted, { client, session, holder: user, user, nonce: promise?.nonce ?? null })
}

/** Whether the session has started. */
async function store(
  ctx: Context,
  { client, caller, knownSources, promise }: SessionStart,
  session: NewLogIn['session'],
): Promise<boolean> {
  const { id: sessionId, user_id: userId, started_at: at } = session
  const facts = { userId, clientId: client.id }
  const end = { now: at, reason: 'limit' } as const
  const isTold = client.back_channel_logout_uri !== null
  const ended = await record(
    byClient(ctx, client.id, caller),
    (surplus: readonly Buffer[]) => [
      { event: 'log_in', ...facts, sessionId },
      ...eventsOfSessions(
        surplus.map(id => ({ ...facts, sessionId: id })),
        end,
      ),
    ],
    db =>
      insertLogIn(db, {
        session,
        signInId: promise?.signIn?.id ?? null,
        outlivedSignInId: isTold ? (promise?.outlivedSignInId ?? null) : null,
        consentId: promise?.consentId ?? null,
        knownSources,
        bound: { sessionsMax: ctx.config.sessionsPerUser, reason: end.reason },
      }),
  )
  return ended !== undefined
}
