import type { SessionTable } from '../../db/schema.ts'
import type { Context } from '../context.ts'
import type { ExchangeClaims } from '../protocol/access-token.ts'
import type { Identity } from '../protocol/id-token.ts'
import { sealRefreshToken } from '../protocol/refresh-token.ts'
import { formatUuid } from '../protocol/secrets.ts'
import type { Target } from './target.ts'

/** The answer to a token request: an access token for the target and, for some, a refresh token. */
export interface Granted {
  /** The resource and the scope that the access token is for. */
  readonly target: Target
  readonly subject: string
  readonly sessionId: Buffer
  readonly authTime: number
  /** Authentication methods (RFC 8176), separated by spaces. */
  readonly amr: string
  /** What the access token says of the user, beside `sub`. */
  readonly claims: Readonly<Record<string, unknown>>
  readonly statusPosition: number
  /** Tells the next log-in on this device from a stranger's. */
  readonly deviceToken?: string
  /** When the session ends if nothing is refreshed, in seconds since the epoch: no token outlives it. */
  readonly expiresAt: number
  /** Who the user is, for a client that has the scope `openid`. */
  readonly identity?: Identity
  /** Of a token that was exchanged. */
  readonly exchange?: ExchangeClaims
  /** RFC 8693 §2.2.1 */
  readonly issuedTokenType?: string
  readonly refresh?: {
    readonly token: string
    /** When the session ends whatever happens. */
    readonly absoluteExpiresAt: number
  }
}

/** The same, before it is known what it says of the user. */
export type Grounds = Omit<Granted, 'claims' | 'identity'>

/** The columns of a user's session that its tokens tell of. */
export type GrantedSession = Pick<
  SessionTable,
  | 'id'
  | 'user_id'
  | 'auth_time'
  | 'amr'
  | 'expires_at'
  | 'absolute_expires_at'
  | 'status_position'
  | 'key_thumbprint'
  | 'claims'
>

/** The secret half of a refresh token, and the generation that it is of. */
export interface RefreshSecret {
  readonly secret: Buffer
  readonly generation: number
}

/** A user's session as it is answered with; with a refresh token, if it has a secret for one. */
export function grantedOf(
  { rootKeys }: Pick<Context, 'rootKeys'>,
  session: GrantedSession,
  target: Target,
  refresh?: RefreshSecret,
): Grounds {
  return {
    target,
    subject: formatUuid(userOf(session)),
    sessionId: session.id,
    authTime: session.auth_time,
    amr: session.amr,
    statusPosition: session.status_position,
    expiresAt: session.expires_at,
    ...(refresh && {
      refresh: {
        token: sealRefreshToken(rootKeys.macKeyOf, {
          rootKeyId: rootKeys.currentId,
          sessionId: session.id,
          generation: refresh.generation,
          secret: refresh.secret,
          boundTo: session.key_thumbprint,
        }),
        absoluteExpiresAt: session.absolute_expires_at,
      },
    }),
  }
}

export function userOf({ user_id }: Pick<SessionTable, 'user_id'>): Buffer {
  if (!user_id) throw new Error('unreachable: a machine session has no secret, so no refresh token')
  return user_id
}
