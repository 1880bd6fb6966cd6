import type { Session } from '../../db/sessions/sessions.ts'
import type { Client } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import type { RefreshPolicy } from '../protocol/refresh-verdict.ts'

/** How refreshes of this session are judged. */
export function policyOf(
  ctx: Context,
  client: Client,
  session: Pick<Session, 'key_thumbprint'>,
): RefreshPolicy {
  // A public client may only reuse what is bound to its key. A session of before is bound by being rotated
  // once.
  const mustBind = client.auth_method === 'none' && session.key_thumbprint === null
  return {
    kind: client.refresh_policy === 'reuse' && mustBind ? 'rotate' : client.refresh_policy,
    retrySeconds: retrySeconds(ctx, client),
    lateLimit: ctx.config.refreshLateLimit,
    isOutage: ctx.sessions.lateness.isOutage(),
  }
}

/** How long a session of this client lives if it is not refreshed. */
export function idleSeconds(ctx: Context, client: Client): number {
  return client.refresh_idle_seconds ?? ctx.config.refreshIdleSeconds
}

/** The length of the retry window. */
export function retrySeconds(ctx: Context, client: Client): number {
  return client.refresh_policy === 'strict' ? 0 : ctx.config.refreshRetrySeconds
}
