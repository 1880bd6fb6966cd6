import type { Caller } from '../clients/caller.ts'
import type { Confirmation } from '../clients/confirmation.ts'
import type { Client } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import type { Form } from '../protocol/form.ts'
import type { Target } from '../sessions/target.ts'

/** Decides whether this client may have tokens now, and for what. Issuing them is the endpoint's work. */
export type Grant = (
  ctx: Context,
  client: Client,
  form: Form,
  caller: Caller,
  confirmation: Confirmation | undefined,
) => Promise<Granted>

export interface Granted {
  /** The resource and the scope that the access token is for. */
  readonly target: Target
  readonly subject: string
  readonly sessionId: Buffer
  readonly authTime: number
  /** Authentication methods (RFC 8176), separated by spaces. */
  readonly amr: string
  readonly roles: string
  readonly statusPosition: number
  /** What tells the next log-in on this device from a stranger's. */
  readonly deviceToken?: string
  /** When the session ends if nothing is refreshed, in seconds since the epoch: no token outlives it. */
  readonly expiresAt: number
  readonly refresh?: {
    readonly token: string
    /** When the session ends whatever happens. */
    readonly absoluteExpiresAt: number
  }
}
