import { isIP } from 'node:net'
import type { PublicKeyCredentialCreationOptionsJSON } from '@simplewebauthn/server'
import { insertPasskey, listPasskeys, renamePasskey as renamePasskeyRow } from '../../db/factors/passkeys.ts'
import type { PasskeyTable, UserTable } from '../../db/schema.ts'
import type { Config } from '../config/load.ts'
import type { Context } from '../context.ts'
import { formatUuid, newUuid } from '../protocol/secrets.ts'
import { record } from '../record/record.ts'
import { isObject } from '../values/json.ts'
import { itemsOf } from '../values/list.ts'
import { askedOf, challengeSeconds, expectedOf, sealChallenge } from './challenges.ts'
import { byOwner, type Owner } from './owner.ts'
import { algorithms, verifyRegistration } from './registration.ts'

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

/** So many passkeys a user may have: browsers are told of all of them. */
const passkeysMax = 50

/** So much of a name is kept. */
const nameMax = 60

/** By the issuer, which stays the same: each page asks, and reading a URL takes longer than the answer. */
const possible = new Map<string, boolean>()

/** Whether passkeys can be had here: browsers make none for an address without a name. */
export function passkeysPossible({ issuer }: Pick<Config, 'issuer'>): boolean {
  let answer = possible.get(issuer)
  if (answer === undefined) {
    answer = isIP(new URL(issuer).hostname.replace(/^\[|\]$/g, '')) === 0
    possible.set(issuer, answer)
  }
  return answer
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
    excludeCredentials: present.filter(one => one.rp_id === ctx.config.passkeyRpId).map(descriptorOf),
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
  const made = await verifyRegistration(answer, expectedOf(ctx))
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

/** Gives a passkey another name; false where the owner has no such passkey. */
export async function renamePasskey(ctx: Context, owner: Owner, id: Buffer, name: string): Promise<boolean> {
  const { user } = owner
  return record(
    byOwner(ctx, owner),
    { event: 'passkey_renamed', userId: user.id, detail: { passkey: formatUuid(id) } },
    db => renamePasskeyRow(db, { id, user_id: user.id }, nameOf(name)),
  )
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
export function amrOf({ is_synced }: Pick<PasskeyTable, 'is_synced'>): string {
  return `${is_synced === 1 ? 'swk' : 'hwk'} user mfa`
}

/** As browsers are told of a passkey. */
export function descriptorOf({ credential_id, transports }: PasskeyTable) {
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
