import type { PublicKeyCredentialRequestOptionsJSON } from '@simplewebauthn/server'
import { findPasskey, listPasskeys, notePasskeyUse } from '../../db/factors/passkeys.ts'
import type { PasskeyTable, UserTable } from '../../db/schema.ts'
import { findUserById } from '../../db/users/users.ts'
import type { Caller } from '../clients/caller.ts'
import type { Context } from '../context.ts'
import { OAuthError, unavailable } from '../errors.ts'
import { formatUuid } from '../protocol/secrets.ts'
import type { Event, LogInFailure } from '../record/events.ts'
import { auditEntry, byUser, record } from '../record/record.ts'
import { verifyAssertion } from './assertion.ts'
import { askedOf, challengeSeconds, expectedOf, sealChallenge, spentWith } from './challenges.ts'
import { usablePasskeys } from './factors.ts'
import { amrOf, descriptorOf } from './passkeys.ts'
import type { Answer } from './webauthn.ts'

/** Why an answer of a passkey does not count. */
export type UsePasskeyProblem =
  /** The challenge is too old, or not of this browser, or asks somebody else. */
  | 'expired'
  /** The challenge was answered already. */
  | 'used'
  /** No user has this passkey here, or not any more. */
  | 'unknown'
  /** The authenticator has not verified who holds it. */
  | 'unverified'
  /** It is no such thing, or made for somewhere else, or not of the user who is asked. */
  | 'invalid'

/** Who is asked for a passkey. */
export interface PasskeyRequest {
  /** SHA-256 of the cookie of the browser, in base64url. */
  readonly browser: string
  /** Whose passkey it has to be; without it, anybody's. */
  readonly userId?: Buffer | undefined
}

/** What the browser is to ask a passkey with. For anybody's, it costs no access to the database. */
export async function requestOptions(
  ctx: Context,
  { browser, userId }: PasskeyRequest,
): Promise<PublicKeyCredentialRequestOptionsJSON> {
  const rpId = ctx.config.passkeyRpId
  const passkeys = userId === undefined ? [] : await listPasskeys(ctx.db, userId)
  const present = usablePasskeys({ passkeys, rpId })
  return {
    challenge: sealChallenge(ctx, { kind: 'use', browser, userId: userId ?? null }),
    rpId,
    userVerification: 'required',
    ...(present.length > 0 && { allowCredentials: present.map(descriptorOf) }),
  }
}

export type UsedPasskey =
  | {
      /** As read before the answer was verified. */
      readonly user: UserTable
      readonly passkey: PasskeyTable
      /** What has been proved by it (RFC 8176), separated by spaces. */
      readonly amr: string
    }
  | {
      readonly problem: UsePasskeyProblem
      /** With `unknown`: which one it is, in base64url, so that the browser can be told. */
      readonly credentialId?: string
    }

/** Where an answer of a passkey is shown, and from where it comes. */
export interface PasskeyPlace extends PasskeyRequest {
  readonly clientId: string
  readonly caller: Caller
}

/** Takes the answer of a passkey: it counts once. */
export async function usePasskey(
  ctx: Context,
  responseJson: string,
  place: PasskeyPlace,
): Promise<UsedPasskey> {
  const used = await judgeUse(ctx, responseJson, place)
  if ('problem' in used) noteFailure(ctx, used, place)
  return used
}

async function judgeUse(
  ctx: Context,
  responseJson: string,
  { browser, userId, caller }: PasskeyPlace,
): Promise<UsedPasskey & { readonly of?: PasskeyTable }> {
  const asked = await askedOf(ctx, responseJson, browser)
  if ('problem' in asked) return asked
  const { answer, challenge } = asked
  if (challenge.kind !== 'use' || !isSame(challenge.userId, userId)) return { problem: 'expired' }
  const passkey = await findPasskey(ctx.db, Buffer.from(answer.id, 'base64url'))
  if (!passkey) return { problem: 'unknown', credentialId: answer.id }
  const user = await findUserById(ctx.db, passkey.user_id)
  if (!user || user.disabled_at !== null || !isOf(passkey, answer, userId))
    return { problem: 'invalid', of: passkey }
  const shown = verifyAssertion(answer, expectedOf(ctx), passkey.public_key)
  if (shown === undefined) return { problem: 'invalid', of: passkey }
  if (shown === 'unverified') return { problem: 'unverified', of: passkey }
  // This never changes in a passkey (WebAuthn Level 3 §6.1.3).
  if (shown.isSynced !== (passkey.is_synced === 1)) return { problem: 'invalid', of: passkey }
  const outcome = await noteUse(ctx, passkey, { answer, counter: shown.counter, caller })
  return typeof outcome === 'string' ? { problem: outcome, of: passkey } : { user, ...outcome }
}

/** So much is remembered of what a passkey has answered: some hundred times in ten minutes. */
const spentMax = 10_000

const tooMany = new OAuthError(
  'temporarily_unavailable',
  'this passkey was used too often, come back later',
  {
    status: 429,
    retryAfter: challengeSeconds,
  },
)

/** So often others may come in between, who use the same passkey. */
const triesMax = 10

/** Notes that the challenge is answered, unless it was before. */
async function noteUse(
  ctx: Context,
  found: PasskeyTable,
  { answer, counter, caller }: { answer: Answer; counter: number; caller: Caller },
): Promise<{ readonly passkey: PasskeyTable; readonly amr: string } | 'used' | 'unknown'> {
  let passkey: PasskeyTable | undefined = found
  for (let tries = 0; tries < triesMax; tries++) {
    const now = ctx.clock.now()
    const spent = spentWith(passkey.spent, answer.clientData.challenge, now)
    if (spent === undefined) return 'used'
    if (spent.length > spentMax) throw tooMany
    const seen = passkey
    const use = { spent, counter: Math.max(counter, seen.counter), used_at: now }
    const isNoted = await record(
      byUser(ctx, seen.user_id, caller),
      () => counterEvents(seen, counter),
      db => notePasskeyUse(db, seen, use),
    )
    if (isNoted) return { passkey: { ...seen, ...use }, amr: amrOf(seen) }
    passkey = await findPasskey(ctx.db, seen.credential_id)
    if (!passkey) return 'unknown'
  }
  throw unavailable(new Error('a passkey is used by too many at once'))
}

/** A counter that goes back, or stands still, is recorded (WebAuthn Level 3 §7.2), and shuts no user out. */
function counterEvents({ id, user_id, counter }: PasskeyTable, presented: number): readonly Event[] {
  if (presented > counter || (presented === 0 && counter === 0)) return []
  const detail = { passkey: formatUuid(id), presented, current: counter }
  return [{ event: 'passkey_counter_back', userId: user_id, detail }]
}

/** Told to the log and, with others of its kind, to the audit trail. */
function noteFailure(
  ctx: Context,
  { problem, of }: { readonly problem: UsePasskeyProblem; readonly of?: PasskeyTable },
  { clientId, caller }: PasskeyPlace,
): void {
  const { address, requestId, source } = caller
  const reason: LogInFailure = problem === 'unknown' ? 'the passkey is unknown' : 'the passkey is refused'
  const actor = { kind: 'nobody', caller: { address, requestId } } as const
  const userId = of?.user_id ?? null
  ctx.counts.signIns.failed++
  ctx.log.info({ event: 'log_in_failed', client_id: clientId, address, reason, problem }, reason)
  ctx.audit.note(
    auditEntry({ clock: ctx.clock, actor }, { event: 'log_in_failed', userId, clientId, detail: { reason } }),
    source,
  )
}

/**
 * WebAuthn Level 3 §7.2: whether a passkey is of the user who is asked, and of the one that it names; where
 * no user is known yet, it has to name one.
 */
function isOf({ user_id }: PasskeyTable, { userHandle }: Answer, userId: Buffer | undefined): boolean {
  if (userId && !userId.equals(user_id)) return false
  if (userHandle === undefined) return userId !== undefined
  return userHandle === user_id.toString('base64url')
}

function isSame(asked: Buffer | null, userId: Buffer | undefined): boolean {
  return asked === null ? userId === undefined : userId?.equals(asked) === true
}
