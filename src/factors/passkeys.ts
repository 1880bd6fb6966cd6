import { isIP } from 'node:net'
import type {
  PublicKeyCredentialCreationOptionsJSON,
  PublicKeyCredentialRequestOptionsJSON,
} from '@simplewebauthn/server'
import {
  deletePasskey,
  findPasskey,
  insertPasskey,
  listPasskeys,
  notePasskeyUse,
  renamePasskey as renamePasskeyRow,
} from '../../db/factors/passkeys.ts'
import type { PasskeyTable, UserTable } from '../../db/schema.ts'
import { findUserById } from '../../db/users/users.ts'
import type { Caller } from '../clients/caller.ts'
import type { Config } from '../config/load.ts'
import type { Context } from '../context.ts'
import { OAuthError, unavailable } from '../errors.ts'
import { formatUuid, newUuid } from '../protocol/secrets.ts'
import type { Event, LogInFailure } from '../record/events.ts'
import { auditEntry, byUser, record } from '../record/record.ts'
import { isObject } from '../values/json.ts'
import { itemsOf } from '../values/list.ts'
import { challengeSeconds, openChallenge, sealChallenge, spentWith, type Challenge } from './challenges.ts'
import { byOwner, type Owner } from './owner.ts'
import { algorithms, readAnswer, verifyAssertion, verifyRegistration, type Answer } from './webauthn.ts'

/** Why a passkey was not set up. */
export type AddPasskeyProblem =
  /** The challenge is too old, or not of this browser and user. */
  | 'expired'
  /** The challenge has made a passkey already. */
  | 'used'
  /** The passkey is there already, of this user or of another one. */
  | 'exists'
  /** The authenticator has not verified who holds it. */
  | 'unverified'
  /** The user has as many as a user may have. */
  | 'too_many'
  /** It is no such thing, or made for somewhere else. */
  | 'invalid'

/** Why an answer of a passkey does not count. */
export type UsePasskeyProblem =
  /** The challenge is too old, or not of this browser, or asks somebody else. */
  | 'expired'
  /** The challenge was answered already. */
  | 'used'
  /** Nobody has this passkey here, or not any more. */
  | 'unknown'
  /** The authenticator has not verified who holds it. */
  | 'unverified'
  /** It is no such thing, or made for somewhere else, or not of the user who is asked. */
  | 'invalid'

/** So many passkeys a user may have: browsers are told of all of them. */
const passkeysMax = 50

/** So much of a name is kept. */
const nameMax = 60

/** Whether passkeys can be had here: browsers make none for an address without a name. */
export function passkeysPossible({ issuer }: Pick<Config, 'issuer'>): boolean {
  return isIP(new URL(issuer).hostname.replace(/^\[|\]$/g, '')) === 0
}

/**
 * What the browser is to make a passkey from: one that is found without a user name, and verifies who holds
 * it. `browser`: SHA-256 of its cookie, in base64url.
 */
export async function creationOptions(
  ctx: Context,
  user: UserTable,
  browser: string,
): Promise<PublicKeyCredentialCreationOptionsJSON> {
  const present = await listPasskeys(ctx.db, user.id)
  const passkeyId = newUuid(ctx.clock.now())
  return {
    rp: { id: ctx.config.passkeyRpId, name: ctx.config.name },
    user: { id: user.id.toString('base64url'), name: user.username, displayName: displayNameOf(user) },
    challenge: sealChallenge(ctx, { kind: 'add', browser, user, passkeyId }),
    pubKeyCredParams: algorithms.map(alg => ({ type: 'public-key', alg })),
    timeout: challengeSeconds * 1000,
    excludeCredentials: present.map(descriptorOf),
    authenticatorSelection: {
      residentKey: 'required',
      requireResidentKey: true,
      userVerification: 'required',
    },
    attestation: 'none',
  }
}

export type AddedPasskey =
  | {
      readonly passkey: PasskeyTable
      /** What has been proved by it (RFC 8176), as by a log-in with it. */
      readonly amr: string
    }
  | { readonly problem: AddPasskeyProblem }

/** Adds the passkey that a browser has made, under the name that its owner has typed. */
export async function addPasskey(
  ctx: Context,
  owner: Owner,
  responseJson: string,
  browser: string,
  name: string,
): Promise<AddedPasskey> {
  const { user } = owner
  const asked = await askedOf(ctx, responseJson, browser)
  if ('problem' in asked) return asked
  const { answer, challenge } = asked
  if (challenge.kind !== 'add' || !challenge.user.id.equals(user.id) || challenge.user.epoch !== user.epoch)
    return { problem: 'expired' }
  const made = await verifyRegistration(answer, expectedOf(ctx, answer))
  if (made === undefined) return { problem: 'invalid' }
  if (made === 'unverified') return { problem: 'unverified' }

  const { credentialId, publicKey, counter, transports, aaguid, isSynced } = made
  const passkey: PasskeyTable = {
    id: challenge.passkeyId,
    user_id: user.id,
    credential_id: credentialId,
    public_key: publicKey,
    counter,
    transports: transports.join(' '),
    rp_id: ctx.config.passkeyRpId,
    aaguid,
    is_synced: isSynced ? 1 : 0,
    name: nameOf(name),
    spent: '',
    created_at: ctx.clock.now(),
    used_at: null,
  }
  let outcome = 'epoch_raised' as Awaited<ReturnType<typeof insertPasskey>>
  const detail = { passkey: formatUuid(passkey.id), rp_id: passkey.rp_id, synced: isSynced }
  await record(
    byOwner(ctx, owner, { kind: 'passkey_added', name: passkey.name }),
    { event: 'passkey_added', userId: user.id, detail },
    async db => {
      outcome = await insertPasskey(db, passkey, { user, passkeysMax })
      return outcome === 'added'
    },
  )
  if (outcome === 'added') return { passkey, amr: amrOf(passkey) }
  return { problem: outcome === 'epoch_raised' ? 'expired' : outcome }
}

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
  const present = userId === undefined ? [] : await listPasskeys(ctx.db, userId)
  return {
    challenge: sealChallenge(ctx, { kind: 'use', browser, userId: userId ?? null }),
    rpId: ctx.config.passkeyRpId,
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
  const shown = await verifyAssertion(answer, expectedOf(ctx, answer), passkey.public_key)
  if (shown === undefined) return { problem: 'invalid', of: passkey }
  if (shown === 'unverified') return { problem: 'unverified', of: passkey }
  // What it is by birth it stays (WebAuthn Level 3 §6.1.3).
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
    const spent = spentWith(passkey.spent, answer.challenge, now)
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

/** A counter that goes back, or stands still, is recorded (WebAuthn Level 3 §7.2), and shuts nobody out. */
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

/** Gives a passkey another name; false where the owner has no such passkey. */
export async function renamePasskey(ctx: Context, owner: Owner, id: Buffer, name: string): Promise<boolean> {
  const { user } = owner
  return record(
    byOwner(ctx, owner),
    { event: 'passkey_renamed', userId: user.id, detail: { passkey: formatUuid(id) } },
    db => renamePasskeyRow(db, { id, user_id: user.id }, nameOf(name)),
  )
}

/** Removes a passkey. Not the last one of an owner who could not log in without it. */
export async function removePasskey(
  ctx: Context,
  owner: Owner,
  id: Buffer,
): Promise<'removed' | 'unknown' | 'last'> {
  const { user } = owner
  const present = (await listPasskeys(ctx.db, user.id)).find(one => one.id.equals(id))
  if (!present) return 'unknown'
  let outcome = 'unknown' as Awaited<ReturnType<typeof deletePasskey>>
  await record(
    byOwner(ctx, owner, { kind: 'passkey_removed', name: present.name }),
    { event: 'passkey_removed', userId: user.id, detail: { passkey: formatUuid(id) } },
    async db => {
      outcome = await deletePasskey(db, { id, user_id: user.id }, user.password_hash !== '')
      return typeof outcome !== 'string'
    },
  )
  return typeof outcome === 'string' ? outcome : 'removed'
}

/** A passkey, as lists show it. */
export interface PasskeyDocument {
  readonly id: string
  readonly name: string
  readonly rp_id: string
  readonly synced: boolean
  readonly created_at: number
  readonly used_at: number | null
}

export function passkeyDocuments(passkeys: readonly PasskeyTable[]): readonly PasskeyDocument[] {
  return passkeys.map(({ id, name, rp_id, is_synced, created_at, used_at }) => ({
    id: formatUuid(id),
    name,
    rp_id,
    synced: is_synced === 1,
    created_at,
    used_at,
  }))
}

/** What a passkey proves: possession of its key, which may be on several devices, and who holds it. */
function amrOf({ is_synced }: Pick<PasskeyTable, 'is_synced'>): string {
  return `${is_synced === 1 ? 'swk' : 'hwk'} user mfa`
}

/** An answer with the challenge that it is to, where that is one of ours for this browser, and not too old. */
async function askedOf(
  ctx: Context,
  responseJson: string,
  browser: string,
): Promise<
  { readonly answer: Answer; readonly challenge: Challenge } | { readonly problem: 'invalid' | 'expired' }
> {
  const answer = readAnswer(responseJson)
  const challenge = answer && (await openChallenge(ctx, answer.challenge))
  if (!challenge) return { problem: 'invalid' }
  if (challenge.isExpired || challenge.browser !== browser) return { problem: 'expired' }
  return { answer, challenge }
}

function expectedOf({ config }: Context, { challenge }: Answer) {
  return { challenge, origin: new URL(config.issuer).origin, rpId: config.passkeyRpId }
}

/**
 * WebAuthn Level 3 §7.2: whether a passkey is of the user who is asked, and of the one that it names; where
 * nobody is known yet, it has to name one.
 */
function isOf({ user_id }: PasskeyTable, { userHandle }: Answer, userId: Buffer | undefined): boolean {
  if (userId && !userId.equals(user_id)) return false
  if (userHandle === undefined) return userId !== undefined
  return userHandle === user_id.toString('base64url')
}

function isSame(asked: Buffer | null, userId: Buffer | undefined): boolean {
  return asked === null ? userId === undefined : userId?.equals(asked) === true
}

function descriptorOf({ credential_id, transports }: PasskeyTable) {
  return {
    type: 'public-key' as const,
    id: credential_id.toString('base64url'),
    transports: itemsOf(transports) as never,
  }
}

/** What a passkey is called whose owner has no name for it: the word is the same in all languages. */
const plainName = 'Passkey'

/** A name without what cannot be seen. */
function nameOf(typed: string): string {
  const seen = typed
    .normalize('NFC')
    .replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '')
    .trim()
  return [...seen].slice(0, nameMax).join('') || plainName
}

function displayNameOf({ claims, username }: UserTable): string {
  const stored: unknown = JSON.parse(claims)
  const name = isObject(stored) ? stored['name'] : undefined
  return typeof name === 'string' && name !== '' ? name : username
}
