import {
  extendSession,
  findSession,
  healSession,
  markLate,
  type Session,
} from '../../db/sessions/sessions.ts'
import type { Writer } from '../../db/writer.ts'
import type { Caller } from '../clients/caller.ts'
import type { Client, Resource } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import { endStolenSession } from '../endings/end.ts'
import { tellWentBack } from '../endings/restored.ts'
import { OAuthError } from '../errors.ts'
import type { RefreshToken } from '../protocol/refresh-token.ts'
import { judgeRefresh } from '../protocol/refresh-verdict.ts'
import { formatUuid, isSameHash } from '../protocol/secrets.ts'
import { byClient, record } from '../record/record.ts'
import { userOf } from './granted.ts'
import { hasForgottenKey, isForked } from './key-binding.ts'
import { idleSeconds, policyOf } from './refresh-policy.ts'

/** A genuine refresh token, as its client has presented it. */
export interface Presented extends RefreshToken {
  readonly client: Client
  readonly caller: Caller
  readonly secretHash: Buffer
  /** The key that came with it, if its client must show one. */
  readonly keyThumbprint: Buffer | null
  /** Those that the client may have tokens for. */
  readonly resources: readonly Resource[]
}

/**
 * One public text for all cases, so that it tells a stranger nothing but that the token is of no use; the log
 * has the cause.
 */
export function refreshRefusal(cause: string): OAuthError {
  return new OAuthError('invalid_grant', 'the refresh token is not valid any more, log in again', { cause })
}

/**
 * Finds the session that the token belongs to. Throws `invalid_grant` unless it is this client's, and alive
 * but for its expiry; ends it where the token shows that two hold it.
 */
export async function findOwnSession(ctx: Context, presented: Presented): Promise<Session> {
  const session = await findSession(ctx.db, presented.sessionId)
  if (!session) throw refreshRefusal('the session is unknown')
  if (!session.secret_hash || !isSameHash(session.secret_hash, presented.secretHash))
    throw refreshRefusal('the session secret is wrong')
  if (session.client_id !== presented.client.id) throw refreshRefusal("the session is another client's")
  if (session.revoked_at !== null) throw refreshRefusal(`the session was revoked (${session.revoke_reason})`)
  if (!session.isOfThisEpoch)
    throw refreshRefusal("the session was ended by a change of its user's or client's epoch")
  if (isForked(presented, session)) {
    await endStolen(ctx, presented, session)
    throw refreshRefusal('the token is bound to a key that another holder has gone on without')
  }
  if (session.key_thumbprint && !isKeyOf(session.key_thumbprint, presented)) {
    await refuseKeyless(ctx, presented, session)
  }
  return session
}

function isKeyOf(thumbprint: Buffer, { keyThumbprint }: Presented): boolean {
  return keyThumbprint !== null && isSameHash(thumbprint, keyThumbprint)
}

/**
 * A token of a bound session without its key is of no use, and does the session no harm: a thief cannot end
 * it either. A token of the time before the session was bound did count, so its holder is not the one who has
 * bound it: theft.
 */
async function refuseKeyless(ctx: Context, presented: Presented, session: Session): Promise<never> {
  const policy = policyOf(ctx, presented.client, session)
  const { kind } = judgeRefresh(presented.generation, session, ctx.clock.now(), policy)
  if (presented.generation < session.bound_generation && kind !== 'repeat') {
    await endStolen(ctx, presented, session)
  }
  throw refreshRefusal('the session is bound to a key that was not shown')
}

/**
 * Judges a snapshot of the session and applies the verdict, if the session is still as it was. The session to
 * answer with; `rotate` where the token is the current one; `moved` where another request was faster. Throws
 * `invalid_grant`.
 */
export async function applyVerdict(
  ctx: Context,
  presented: Presented,
  session: Session,
): Promise<Session | 'rotate' | 'moved'> {
  const { db, log } = ctx
  const { verdicts } = ctx.counts
  const { client, generation, caller } = presented
  const now = ctx.clock.now()
  const expiresAt = Math.min(now + idleSeconds(ctx, client), session.absolute_expires_at)
  const facts = factsOf(presented, session)
  const recorded = (event: 'session_late' | 'session_healed', work: (db: Writer) => Promise<boolean>) =>
    record(byClient(ctx, client.id, caller), { event, ...eventFactsOf(presented, session) }, work)

  const verdict = judgeRefresh(generation, session, now, policyOf(ctx, client, session))
  switch (verdict.kind) {
    case 'rotate':
      return 'rotate'
    case 'reuse':
      if (!(await extendSession(db, session, { now, expiresAt, address: caller.address }))) return 'moved'
      verdicts.reuse++
      return { ...session, expires_at: expiresAt }
    case 'repeat':
      verdicts.repeat++
      return session
    case 'late':
      if (!(await recorded('session_late', db => markLate(db, session, verdict.lateHistory)))) return 'moved'
      ctx.sessions.lateness.countLate(userOf(session), caller.source)
      if (verdict.isOverLimit)
        log.warn(facts, 'too many late retries, let pass since many sessions have them')
      else log.info(facts, 'a refresh token was retried late')
      return session
    case 'heal': {
      const keyThumbprint = hasForgottenKey(presented, session) ? presented.keyThumbprint : null
      const healed = { generation, now, expiresAt, keyThumbprint }
      if (await recorded('session_healed', db => healSession(db, session, healed))) {
        const event = { event: 'session_healed', ...facts, healed: verdicts.heal }
        log.warn(event, 'the database has gone back in time: a session was healed')
        await tellWentBack(ctx, session.rotated_at)
      }
      return 'moved' // its token is the current one now
    }
    case 'theft':
      await endStolen(ctx, presented, session)
      throw refreshRefusal('the refresh token was used by two holders')
    case 'expired':
      verdicts.expired++
      throw refreshRefusal('the session has expired')
    case 'exhausted':
      verdicts.exhausted++
      log.error(facts, 'the session has reached the last generation and cannot be refreshed any more')
      throw refreshRefusal('the session has reached the last generation')
  }
}

/** The facts of an event, for a verdict that was no ordinary one. */
function eventFactsOf({ client, generation }: Presented, session: Session) {
  return {
    userId: userOf(session),
    clientId: client.id,
    sessionId: session.id,
    detail: { presented: generation, current: session.generation },
  }
}

async function endStolen(ctx: Context, presented: Presented, session: Session): Promise<void> {
  const { detail, ...facts } = eventFactsOf(presented, session)
  const by = byClient(ctx, presented.client.id, presented.caller)
  await endStolenSession(by, { ...facts, detail: { ...detail, last_address: session.last_address } })
}

function factsOf({ client, generation }: Presented, session: Session) {
  return {
    sid: formatUuid(session.id),
    client_id: client.id,
    presented: generation,
    current: session.generation,
  }
}
