import type { Client } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import type { AuthorizationErrorCode, Recipient } from '../protocol/authorization-request.ts'
import { isRegistered, withParameters } from '../protocol/redirect-uri.ts'
import { itemsOf } from '../values/list.ts'

/** What becomes of a request (RFC 6749 §4.1.2): a code, or why there is none. Descriptions are constant. */
export type Outcome =
  { readonly code: string } | { readonly error: AuthorizationErrorCode; readonly description?: string }

/** An answer to a client, as the person's browser takes it there. */
export type Answer =
  /** For the header `Location`. */
  | { readonly kind: 'redirect'; readonly uri: string }
  /** To be posted (OAuth 2.0 Form Post Response Mode §2). */
  | {
      readonly kind: 'form_post'
      readonly uri: string
      readonly parameters: readonly [name: string, value: string][]
    }

/**
 * The answer to a request of this client, with `state` and `iss` (RFC 9207 §2) always. Undefined where the
 * redirect URI is none of the client's, as it is registered now: then nothing may be sent to it, and the
 * person is told on a page.
 */
export function answerTo(
  { config }: Pick<Context, 'config'>,
  client: Pick<Client, 'redirect_uris'>,
  { redirectUri: uri, responseMode, state }: Recipient,
  outcome: Outcome,
): Answer | undefined {
  if (!isRegistered(uri, itemsOf(client.redirect_uris))) return undefined
  const said =
    'code' in outcome
      ? { code: outcome.code }
      : { error: outcome.error, error_description: outcome.description ?? null }
  const all: Readonly<Record<string, string | null>> = { ...said, state, iss: config.issuer }
  const parameters = Object.entries(all).flatMap(([name, value]) =>
    value === null ? [] : [[name, value] as [name: string, value: string]],
  )
  if (responseMode === 'form_post') return { kind: 'form_post', uri, parameters }
  return { kind: 'redirect', uri: withParameters(uri, parameters) }
}
