import type { UserTable } from '../../db/schema.ts'
import type { Context } from '../context.ts'
import type { Owner } from './owner.ts'
import type { SecondStep } from './second-step.ts'

/** An authenticator app that is being set up. Nothing is stored of it. */
export interface PreparedTotp {
  /** In base32 (RFC 4648 §6), to be typed. */
  readonly secret: string
  /** `otpauth://…`, to be scanned. */
  readonly uri: string
  /** The same for the form, which it comes back with; good for ten minutes. */
  readonly sealed: string
}

export type TotpConfirmation = 'set' | 'wrong' | 'clock_off' | 'expired' | 'exists'

/** `browser`: SHA-256 of the cookie that tells browsers apart, in base64url. */
export function prepareTotp(ctx: Context, user: UserTable, browser: string): PreparedTotp {
  throw new Error(`not made yet: ${String(ctx && user && browser)}`)
}

export async function confirmTotp(
  ctx: Context,
  owner: Owner,
  shown: { readonly sealed: string; readonly code: string; readonly browser: string },
): Promise<TotpConfirmation> {
  throw new Error(`not made yet: ${String(ctx && owner && shown)}`)
}

export async function removeTotp(ctx: Context, owner: Owner): Promise<boolean> {
  throw new Error(`not made yet: ${String(ctx && owner)}`)
}

/** Whether it is the code of now, which has not been used yet. 429 where too many were wrong. */
export async function useTotp(ctx: Context, step: SecondStep, code: string): Promise<boolean> {
  throw new Error(`not made yet: ${String(ctx && step && code)}`)
}
