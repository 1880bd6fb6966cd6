import type { Caller } from '../clients/caller.ts'
import type { Confirmation } from '../clients/confirmation.ts'
import type { ProvenByIssuer } from '../clients/issued-assertions.ts'
import type { Client } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import type { Rank } from '../load/admission.ts'
import type { Form } from '../protocol/form.ts'
import type { Granted } from '../sessions/granted.ts'

/** A token request (RFC 6749 §3.2) of a client that has authenticated. */
export interface TokenRequest {
  readonly client: Client
  readonly form: Form
  readonly caller: Caller
  /** The key that the tokens are bound to; undefined for bearer tokens. */
  readonly confirmation: Confirmation | undefined
  /** What a trusted issuer says of the client, where that is the grant (RFC 7523 §2.1). */
  readonly proof?: ProvenByIssuer | undefined
}

/** One way to get tokens. For facts of its grant type that hold everywhere see protocol/grant-types.ts. */
export interface Grant {
  /** When it is given up, where the server cannot answer everybody. */
  readonly rank: Rank
  /**
   * Decides whether this client may have tokens now, and for what. The endpoint issues them. Throws
   * `OAuthError`.
   */
  decide(ctx: Context, request: TokenRequest): Promise<Granted>
}
