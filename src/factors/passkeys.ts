import type {
  PublicKeyCredentialCreationOptionsJSON,
  PublicKeyCredentialRequestOptionsJSON,
} from '@simplewebauthn/server'
import type { PasskeyTable, UserTable } from '../../db/schema.ts'
import type { Config } from '../config/load.ts'
import type { Context } from '../context.ts'
import type { RequestOrigin } from '../record/actor.ts'
import type { Owner } from './owner.ts'

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
  /** The challenge is too old, or not of this browser. */
  | 'expired'
  /** The challenge was answered already. */
  | 'used'
  /** Nobody has this passkey here, or not any more. */
  | 'unknown'
  | 'unverified'
  | 'invalid'

/** Whether passkeys can be had here: browsers make none for an address without a name. */
export function passkeysPossible(config: Pick<Config, 'issuer'>): boolean {
  throw new Error(`not yet: ${config.issuer}`)
}

/** What the browser is to make a passkey from. `browser`: SHA-256 of its cookie, in base64url. */
export async function creationOptions(
  ctx: Context,
  user: UserTable,
  browser: string,
): Promise<PublicKeyCredentialCreationOptionsJSON> {
  throw new Error(`not yet: ${String([ctx, user, browser])}`)
}

/** Adds the passkey that a browser has made, under the name that its owner has typed. */
export async function addPasskey(
  ctx: Context,
  owner: Owner,
  responseJson: string,
  browser: string,
  name: string,
): Promise<'added' | { readonly problem: AddPasskeyProblem }> {
  throw new Error(`not yet: ${String([ctx, owner, responseJson, browser, name])}`)
}

/** Who is asked for a passkey. */
export interface PasskeyRequest {
  /** SHA-256 of the cookie of the browser, in base64url. */
  readonly browser: string
  /** Whose passkey it has to be; without it, anybody's. */
  readonly userId?: Buffer | undefined
}

/** What the browser is to ask a passkey with. */
export async function requestOptions(
  ctx: Context,
  request: PasskeyRequest,
): Promise<PublicKeyCredentialRequestOptionsJSON> {
  throw new Error(`not yet: ${String([ctx, request])}`)
}

export type UsedPasskey =
  | {
      /** As read before the answer was verified. */
      readonly user: UserTable
      readonly passkey: PasskeyTable
      /** What it has proved (RFC 8176), separated by spaces. */
      readonly amr: string
    }
  | {
      readonly problem: UsePasskeyProblem
      /** With `unknown`: which one it is, in base64url, so that the browser can be told. */
      readonly credentialId?: string
    }

/** Takes the answer of a passkey: it counts once. */
export async function usePasskey(
  ctx: Context,
  responseJson: string,
  request: PasskeyRequest & { readonly caller: RequestOrigin },
): Promise<UsedPasskey> {
  throw new Error(`not yet: ${String([ctx, responseJson, request])}`)
}

/** Gives a passkey another name; false where the owner has no such passkey. */
export async function renamePasskey(ctx: Context, owner: Owner, id: Buffer, name: string): Promise<boolean> {
  throw new Error(`not yet: ${String([ctx, owner, id, name])}`)
}

/** Removes a passkey. Not the last factor with which its owner can log in. */
export async function removePasskey(
  ctx: Context,
  owner: Owner,
  id: Buffer,
): Promise<'removed' | 'unknown' | 'last'> {
  throw new Error(`not yet: ${String([ctx, owner, id])}`)
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
  throw new Error(`not yet: ${passkeys.length}`)
}
