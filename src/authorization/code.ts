import type { ClientTable, SignInTable, UserTable } from '../../db/schema.ts'
import type { Config } from '../config/load.ts'
import type { Context } from '../context.ts'
import { openValue, sealValue, type SealedKind } from '../keys/sealed.ts'
import type { AuthorizationDetails } from '../protocol/authorization-details.ts'
import type { AuthorizationRequest } from '../protocol/authorization-request.ts'
import type { RequestedClaims } from '../protocol/claims.ts'
import { offlineAccess } from '../protocol/openid-scopes.ts'
import { formatUuid, ownUuid } from '../protocol/secrets.ts'
import { itemsOf } from '../values/list.ts'

/** How long a code can be redeemed, in seconds: RFC 6749 §4.1.2 recommends at most 600. */
export const codeSeconds = 60

/**
 * An authorization code (RFC 6749 §4.1.2): the promise of one session, sealed, so that nothing is stored
 * before it is redeemed. Times are in seconds since the epoch.
 */
export interface AuthorizationCode {
  /** Of the session that it becomes. Its row decides that this happens once. */
  readonly sessionId: Buffer
  readonly clientId: string
  readonly clientEpoch: number
  readonly redirectUri: string
  /** Whether the authorization request named it, so that the token request must too (RFC 6749 §4.1.3). */
  readonly isRedirectUriSent: boolean
  /** S256 (RFC 7636 §4.2); null where there was none. */
  readonly codeChallenge: string | null
  readonly userId: Buffer
  readonly userEpoch: number
  /** What was granted, separated by spaces. */
  readonly scope: string
  /** The one resource that the request named; null for any of the client's. */
  readonly resource: string | null
  readonly details: AuthorizationDetails
  readonly nonce: string | null
  readonly authTime: number
  /** Authentication methods (RFC 8176), separated by spaces. */
  readonly amr: string
  /**
   * The sign-in that the session ends with; null where it has `offline_access`, or an app or a device has
   * asked by itself.
   */
  readonly signIn: { readonly id: Buffer; readonly expiresAt: number } | null
  /** The one that a session with `offline_access` outlives. */
  readonly outlivedSignInId: Buffer | null
  /** What the user had allowed the client when it was made: it is good while that is not taken back. */
  readonly consentId: Buffer | null
  readonly claims: RequestedClaims | null
  /** The thumbprint of the DPoP key that it is bound to (RFC 9449 §10). */
  readonly dpopJkt: string | null
  readonly madeAt: number
}

/** What a code is made of: a request, and what has met it. */
export interface CodeFacts {
  readonly request: AuthorizationRequest
  /** The epoch is the one that the log-in began with: a password change since then ends the code. */
  readonly logIn: Pick<SignInTable, 'user_epoch' | 'auth_time' | 'amr'>
  /** In which browser that was; null where an app has asked by itself, or a device has. */
  readonly signIn: Pick<SignInTable, 'id' | 'expires_at'> | null
  readonly user: Pick<UserTable, 'id'>
  readonly client: Pick<ClientTable, 'id' | 'epoch'>
  /** What is granted of the request's scope, separated by spaces. */
  readonly scope: string
  /** What the user has allowed the client; null where the client does not ask. */
  readonly consentId: Buffer | null
}

type CodeContext = Pick<Context, 'rootKeys' | 'clock'> & { readonly config: Pick<Config, 'issuer'> }

/** What a person has approved: a code that a browser brings to its client, or that waits for a device. */
export type CodeKind = Extract<SealedKind, 'authorization code' | 'device approval'>

/** Makes the code of a request that nothing more is needed for. */
export function issueCode(
  { config, rootKeys, clock }: CodeContext,
  { request, logIn, signIn, user, client, scope, consentId }: CodeFacts,
  kind: CodeKind = 'authorization code',
): string {
  const isOffline = itemsOf(scope).includes(offlineAccess)
  const endsWith = isOffline ? null : signIn
  // A null would only make it longer.
  const content = {
    sid: formatUuid(request.sessionId),
    client: client.id,
    client_epoch: client.epoch,
    redirect_uri: request.redirectUri,
    redirect_uri_sent: request.isRedirectUriSent || undefined,
    challenge: request.codeChallenge ?? undefined,
    user: formatUuid(user.id),
    user_epoch: logIn.user_epoch,
    scope: scope || undefined,
    resource: request.resource ?? undefined,
    details: request.details.length > 0 ? request.details : undefined,
    nonce: request.nonce ?? undefined,
    auth_time: logIn.auth_time,
    amr: logIn.amr,
    sign_in: endsWith ? formatUuid(endsWith.id) : undefined,
    sign_in_end: endsWith?.expires_at,
    outlived: isOffline && signIn ? formatUuid(signIn.id) : undefined,
    consent: consentId ? formatUuid(consentId) : undefined,
    claims: request.claims ?? undefined,
    jkt: request.dpopJkt ?? undefined,
    at: clock.now(),
  } satisfies { readonly [Name in keyof SealedCode]: SealedCode[Name] | undefined }
  return sealValue(rootKeys, kind, config.issuer, content)
}

/** The content of the sealed text. */
interface SealedCode {
  readonly sid: string
  readonly client: string
  readonly client_epoch: number
  readonly redirect_uri: string
  readonly redirect_uri_sent?: true
  readonly challenge?: string
  readonly user: string
  readonly user_epoch: number
  readonly scope?: string
  readonly resource?: string
  readonly details?: AuthorizationDetails
  readonly nonce?: string
  readonly auth_time: number
  readonly amr: string
  readonly sign_in?: string
  readonly sign_in_end?: number
  readonly outlived?: string
  readonly consent?: string
  readonly claims?: RequestedClaims
  readonly jkt?: string
  readonly at: number
}

/**
 * Opens a code of this installation; undefined for any other text. Does NOT check its age, whose it is, or
 * whether it was used. Throws `temporarily_unavailable` (503) for one that another instance may have made,
 * while this one is behind it.
 */
export async function openCode(
  ctx: Pick<Context, 'config' | 'rootKeys' | 'keys'>,
  text: string,
  kind: CodeKind = 'authorization code',
): Promise<AuthorizationCode | undefined> {
  const content = await openValue(ctx, kind, ctx.config.issuer, text)
  // Only we can have sealed it, so `issueCode` has made it.
  const code = content as unknown as SealedCode | undefined
  return (
    code && {
      sessionId: ownUuid(code.sid),
      clientId: code.client,
      clientEpoch: code.client_epoch,
      redirectUri: code.redirect_uri,
      isRedirectUriSent: code.redirect_uri_sent ?? false,
      codeChallenge: code.challenge ?? null,
      userId: ownUuid(code.user),
      userEpoch: code.user_epoch,
      scope: code.scope ?? '',
      resource: code.resource ?? null,
      details: code.details ?? [],
      nonce: code.nonce ?? null,
      authTime: code.auth_time,
      amr: code.amr,
      signIn:
        code.sign_in === undefined ? null : { id: ownUuid(code.sign_in), expiresAt: code.sign_in_end ?? 0 },
      outlivedSignInId: code.outlived === undefined ? null : ownUuid(code.outlived),
      consentId: code.consent === undefined ? null : ownUuid(code.consent),
      claims: code.claims ?? null,
      dpopJkt: code.jkt ?? null,
      madeAt: code.at,
    }
  )
}
