import { itemsOf } from '../values/list.ts'
import type { Form } from './form.ts'
import { hintOf, type IdTokenHint } from './id-token.ts'
import { isRegistered } from './redirect-uri.ts'
import { parseUuid } from './secrets.ts'

/** A request to log out (OpenID Connect RP-Initiated Logout 1.0 §2) that was checked as a whole. */
export interface LogOutRequest {
  /** Of the client that sends the person here, as far as it has said so. */
  readonly clientId: string | null
  /** Registered for that client; null to stay here. */
  readonly redirectUri: string | null
  readonly state: string | null
  readonly uiLocales: readonly string[]
  /** Of a genuine ID token: who is to be logged out, and of which session. */
  readonly hint: IdTokenHint | null
  /** The session that the `logout_hint` names by its `sid`. Anybody can send one: it proves nothing. */
  readonly hintedSession: Buffer | null
}

/** What is known beside the parameters. */
export interface LogOutFacts {
  /**
   * The claims of the `id_token_hint`, where the signature is ours, whenever it has expired: §2 has it
   * accepted from a person whose session is long over.
   */
  readonly hintClaims: Readonly<Record<string, unknown>> | undefined
  /** The client of the hint or, without one, the one that is named. */
  readonly client: { readonly id: string; readonly post_logout_redirect_uris: string } | undefined
}

/** Why nothing was done. */
export type LogOutProblem = 'log_out_invalid' | 'log_out_uri_unregistered'

export type LogOutVerdict =
  | { readonly kind: 'accepted'; readonly request: LogOutRequest }
  | { readonly kind: 'shown'; readonly problem: LogOutProblem }

/** The client that a request to log out is from: that of its hint comes first (§2). */
export function clientOfLogOut(form: Form, hintClaims: LogOutFacts['hintClaims']): string | undefined {
  const audience = hintClaims?.['aud']
  return typeof audience === 'string' ? audience : form.get('client_id')
}

/**
 * Whether a request to log out is accepted. Pure. Without a hint it is the person who says, on a page,
 * whether it was meant. A redirect URI counts only where its client is known, by the hint or by name (§3).
 */
export function judgeLogOutRequest(form: Form, { hintClaims, client }: LogOutFacts): LogOutVerdict {
  const named = form.get('client_id')
  if (named !== undefined && hintClaims && hintClaims['aud'] !== named)
    return { kind: 'shown', problem: 'log_out_invalid' }

  const asked = form.get('post_logout_redirect_uri')
  if (asked !== undefined && client && !isRegistered(asked, itemsOf(client.post_logout_redirect_uris)))
    return { kind: 'shown', problem: 'log_out_uri_unregistered' }
  return {
    kind: 'accepted',
    request: {
      clientId: client?.id ?? null,
      redirectUri: client && asked !== undefined ? asked : null,
      state: form.get('state') ?? null,
      uiLocales: (form.get('ui_locales') ?? '').split(' ').filter(locale => locale !== ''),
      hint: hintOf(hintClaims) ?? null,
      hintedSession: parseUuid(form.get('logout_hint') ?? '') ?? null,
    },
  }
}
