import type { RotatedSession } from '../../db/batches.ts'
import { rotateSession } from '../../db/sessions/rotations.ts'
import {
  findSession,
  extendSession,
  healSession,
  markLate,
  revokeSession,
  type Session,
} from '../../db/sessions/sessions.ts'
import { audited, type NewAuditEntry } from '../../db/writer.ts'
import type { Caller } from '../clients/caller.ts'
import { boundKey, spendProof } from '../clients/confirmation.ts'
import type { Client, Resource } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import { tellWentBack } from '../endings/revived-backup.ts'
import { OAuthError, unavailable } from '../errors.ts'
import { required } from '../protocol/form.ts'
import { isBoundTo, sealRefreshToken, type RefreshToken } from '../protocol/refresh-token.ts'
import { judgeRefresh } from '../protocol/refresh-verdict.ts'
import { formatUuid, hashSecret, isSameHash } from '../protocol/secrets.ts'
import { requestEntry, type AuditEvent } from '../record/audit-trail.ts'
import { hasForgottenKey, isForked } from '../sessions/key-binding.ts'
import { idleSeconds, policyOf, retrySeconds } from '../sessions/refresh-policy.ts'
import { resourcesOf, targetOf, type Target } from '../sessions/target.ts'
import { openPresented } from '../sessions/token-session.ts'
import type { Grant, Granted } from './grant.ts'

/**
 * RFC 6749 §6, with rotation and detection of reuse as RFC 9700 §4.14.2 wants them, and with retries: the successor
 * is computed from the token presented, so a request that is repeated gets the same one.
 */
export const refreshToken: Grant = async (ctx, client, form, caller, confirmation) => {
  const opened = await openPresented(ctx, required(form, 'refresh_token'))
  if (opened.kind !== 'genuine') throw refused(`the refresh token is ${opened.kind.replaceAll('_', ' ')}`)
  const keyThumbprint = boundKey(client, confirmation)
  if (!isBoundTo(opened.token, keyThumbprint)) throw refused('the token is bound to a key that was not shown')
  const resources = await resourcesOf(ctx, client)
  if (confirmation?.proof) await spendProof(ctx, confirmation.proof)
  const secretHash = hashSecret(opened.token.secret)
  const presented = { ...opened.token, secretHash, keyThumbprint, caller, resources }
  const narrow = (session: Pick<Session, 'scope' | 'resource'>) =>
    targetOf(ctx, { client, resources }, form, session)

  // What the client asks for may be refused, and that must cost it nothing: it is looked at before the session moves.
  let target: Target | undefined
  if (form.has('scope') || form.has('resource')) target = narrow(await ownSession(ctx, client, presented))

  if (client.refresh_policy !== 'reuse') {
    const rotated = await rotate(ctx, client, presented)
    if (rotated) {
      ctx.counts.verdicts.rotate++
      const moved = { ...rotated, generation: presented.generation + 1, key_thumbprint: keyThumbprint }
      return granted(ctx, moved, target ?? narrow(rotated), presented)
    }
  }
  return judged(ctx, client, presented, narrow)
}

interface Presented extends RefreshToken {
  readonly secretHash: Buffer
  readonly caller: Caller
  /** The key that came with it, if its client must show one. */
  readonly keyThumbprint: Buffer | null
  /** Those that the client may have tokens for. */
  readonly resources: readonly Resource[]
}

/** The ordinary case is one statement, which checks all that a judge would. If it changes nothing, there is a case. */
function rotate(ctx: Context, client: Client, presented: Presented): Promise<RotatedSession | undefined> {
  const now = ctx.now()
  return rotateSession(ctx.db, {
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
  })
}

/**
 * Judges a snapshot and applies the verdict, if the session is still as it was; otherwise another request has moved
 * it meanwhile, and it is judged anew.
 */
async function judged(
  ctx: Context,
  client: Client,
  presented: Presented,
  narrow: (session: Session) => Target,
): Promise<Granted> {
  for (let attempt = 0; attempt < 5; attempt++) {
    const session = await ownSession(ctx, client, presented)
    const target = narrow(session)
    const answered = await applyVerdict(ctx, client, presented, session)
    if (!answered) continue
    return granted(ctx, answered, target, presented)
  }
  throw unavailable('a session was moved by other requests each time it was judged')
}

/** A session of which a token is handed out. */
type Answered = Omit<RotatedSession, 'user_id'> & Pick<Session, 'user_id' | 'generation' | 'key_thumbprint'>

/** The session as it is answered with; undefined when it has moved since the snapshot. */
async function applyVerdict(
  ctx: Context,
  client: Client,
  presented: Presented,
  session: Session,
): Promise<Answered | undefined> {
  const { db, log } = ctx
  const { verdicts } = ctx.counts
  const now = ctx.now()
  const expiresAt = Math.min(now + idleSeconds(ctx, client), session.absolute_expires_at)
  const facts = factsOf(client, presented, session)
  const recorded = (event: AuditEvent) =>
    audited(db, verdictEntry(ctx, client, presented, session, { event }))

  const verdict = judgeRefresh(presented.generation, session, now, policyOf(ctx, client, session))
  switch (verdict.kind) {
    case 'rotate': {
      const rotated = await rotate(ctx, client, presented)
      if (rotated) verdicts.rotate++
      const { keyThumbprint: key_thumbprint } = presented
      return rotated && { ...rotated, generation: presented.generation + 1, key_thumbprint }
    }
    case 'reuse':
      if (!(await extendSession(db, session, { now, expiresAt, address: presented.caller.address })))
        return undefined
      verdicts.reuse++
      return { ...session, expires_at: expiresAt }
    case 'repeat':
      verdicts.repeat++
      return session
    case 'late':
      if (!(await markLate(recorded('session_late'), session, verdict.lateHistory))) return undefined
      verdicts.late++
      ctx.lateness.countLate(userOf(session), presented.caller.source)
      if (verdict.isOverLimit)
        log.warn(facts, 'too many late retries, let pass since many sessions have them')
      else log.info(facts, 'a refresh token was retried late')
      return session
    case 'heal': {
      const bound = hasForgottenKey(presented, session) ? presented.keyThumbprint : null
      const moved = { generation: presented.generation, now, expiresAt, keyThumbprint: bound }
      const isHealed = await healSession(recorded('session_healed'), session, moved)
      const event = { event: 'session_healed', ...facts }
      if (isHealed) {
        const healed = ++verdicts.heal
        log.warn({ ...event, healed }, 'the database has gone back in time: a session was healed')
        await tellWentBack(ctx, session.rotated_at)
      }
      return undefined // to be judged anew, as the current token that it now is
    }
    case 'theft':
      await endStolen(ctx, client, presented, session)
      throw refused('the refresh token was used by two holders')
    case 'expired':
      verdicts.expired++
      throw refused('the session has expired')
    case 'exhausted':
      verdicts.exhausted++
      log.error(facts, 'the session has reached the last generation and cannot be refreshed any more')
      throw refused('the session has reached the last generation')
  }
}

/** What an administrator should find of a verdict that was no ordinary one. */
function verdictEntry(
  ctx: Context,
  client: Client,
  { caller, generation }: Presented,
  session: Session,
  { event, detail }: { readonly event: AuditEvent; readonly detail?: object },
): NewAuditEntry {
  return requestEntry(client, caller, {
    at: ctx.now(),
    event,
    userId: session.user_id,
    sessionId: session.id,
    detail: { presented: generation, current: session.generation, ...detail },
  })
}

/** The session that the token presented belongs to, if it is this client's and alive but for its expiry. */
async function ownSession(ctx: Context, client: Client, presented: Presented): Promise<Session> {
  const session = await findSession(ctx.db, presented.sessionId)
  if (!session) throw refused('the session is unknown')
  if (!session.secret_hash || !isSameHash(session.secret_hash, presented.secretHash))
    throw refused('the session secret is wrong')
  if (session.client_id !== client.id) throw refused("the session is another client's")
  if (session.revoked_at !== null) throw refused(`the session was revoked (${session.revoke_reason})`)
  if (!session.isOfThisEpoch)
    throw refused("the session was ended by a change of its user's or client's epoch")
  if (isForked(presented, session)) {
    await endStolen(ctx, client, presented, session)
    throw refused('the token is bound to a key that another holder has gone on without')
  }
  if (session.key_thumbprint && !isKeyOf(session.key_thumbprint, presented)) {
    await refuseKeyless(ctx, client, presented, session)
  }
  return session
}

function isKeyOf(thumbprint: Buffer, { keyThumbprint }: Presented): boolean {
  return keyThumbprint !== null && isSameHash(thumbprint, keyThumbprint)
}

/**
 * A token of a bound session without its key is of no use, and of no harm to the session: whoever has stolen it cannot
 * end it either. Unless it is of the time before the session was bound: then it did count, and its holder is another
 * than the one who has bound the session since.
 */
async function refuseKeyless(
  ctx: Context,
  client: Client,
  presented: Presented,
  session: Session,
): Promise<never> {
  const { kind } = judgeRefresh(presented.generation, session, ctx.now(), policyOf(ctx, client, session))
  if (presented.generation < session.bound_generation && kind !== 'repeat') {
    await endStolen(ctx, client, presented, session)
  }
  throw refused('the session is bound to a key that was not shown')
}

async function endStolen(
  ctx: Context,
  client: Client,
  presented: Presented,
  session: Session,
): Promise<void> {
  const { id, last_address } = session
  const at = ctx.now()
  const entry = verdictEntry(ctx, client, presented, session, {
    event: 'session_theft',
    detail: { last_address },
  })
  if (await revokeSession(audited(ctx.db, entry), id, at, 'theft')) {
    ctx.counts.verdicts.theft++
    const facts = { at, by: 'server', ...factsOf(client, presented, session) }
    ctx.log.warn(
      { event: 'session_revoked', reason: 'theft', ...facts },
      'a refresh token was reused by two holders',
    )
  }
}

function factsOf(client: Client, presented: Presented, session: Session) {
  return {
    sid: formatUuid(session.id),
    client_id: client.id,
    presented: presented.generation,
    current: session.generation,
  }
}

function granted(ctx: Context, session: Answered, target: Target, presented: Presented): Granted {
  const userId = userOf(session)
  const { sessionId, secret } = presented
  ctx.lateness.countRefresh(userId, presented.caller.source)
  return {
    target,
    subject: formatUuid(userId),
    sessionId,
    authTime: session.auth_time,
    amr: session.amr,
    roles: session.roles,
    statusPosition: session.status_position,
    expiresAt: session.expires_at,
    refresh: {
      token: sealRefreshToken(ctx.rootKeys.macKeyOf, {
        rootKeyId: ctx.rootKeys.currentId,
        sessionId,
        generation: session.generation,
        secret,
        boundTo: session.key_thumbprint,
      }),
      absoluteExpiresAt: session.absolute_expires_at,
    },
  }
}

function userOf({ user_id }: Pick<Session, 'user_id'>): Buffer {
  if (!user_id) throw new Error('unreachable: a machine session has no secret, so no refresh token')
  return user_id
}

/** One public text for all cases, so that nobody learns more than that the token is of no use; the log has the cause. */
function refused(cause: string): OAuthError {
  return new OAuthError('invalid_grant', 'the refresh token is not valid any more, sign in again', { cause })
}
