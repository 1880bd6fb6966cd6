import { timingSafeEqual } from 'node:crypto'
import { day } from '../values/duration.ts'
import { headBytes, macBytes, openText, sealText, type MacKeyOf, type Unopened } from './token-text.ts'

/**
 * The refresh token's text:
 *
 *   `mm_rt_` + base64url( version 1 ‖ root key id 4 ‖ session id 16 ‖ generation 4 ‖ session secret 16 ‖ key 0 or 18 ‖ MAC 16 )
 *           + the checksum of token-text.ts
 *
 * Where it is bound to a key, it has the beginning of that key's thumbprint, so that a database that has gone
 * back in time does not take it without. 57 bytes are 76 characters of base64url and 75 are 100, with no bits
 * to spare.
 */
export const refreshTokenPrefix = 'mm_rt_'
const generationAt = headBytes + 16
const secretAt = generationAt + 4
const secretEnd = secretAt + 16
const boundBytes = 18
const refreshTokenKind = {
  prefix: refreshTokenPrefix,
  version: 1,
  bodyBytes: [secretEnd + macBytes, secretEnd + boundBytes + macBytes],
}

export const generationMax = 0xffff_ffff

/** The least and the most, in seconds, that a session may live, unused or at all. */
export const sessionLimits = [60, 3650 * day] as const

export interface RefreshToken {
  /** The id of the root key under which the MAC was made: 4 bytes as 8 hexadecimal digits. */
  readonly rootKeyId: string
  /** A UUIDv7 as 16 bytes. */
  readonly sessionId: Buffer
  readonly generation: number
  /** 128 random bits, the same through the session's life. */
  readonly secret: Buffer
  /**
   * The beginning of the thumbprint (RFC 7638, RFC 8705 §3.1) of the key that it is bound to: 18 bytes, or
   * more to seal it; null for a token that needs no key.
   */
  readonly boundTo: Buffer | null
}

export type OpenedRefreshToken =
  { readonly kind: 'genuine'; readonly token: RefreshToken } | { readonly kind: Unopened }

export function sealRefreshToken(macKeyOf: MacKeyOf, token: RefreshToken): string {
  const { boundTo } = token
  const body = Buffer.allocUnsafe(secretEnd + (boundTo ? boundBytes : 0) + macBytes)
  token.sessionId.copy(body, headBytes)
  body.writeUInt32BE(token.generation, generationAt)
  token.secret.copy(body, secretAt)
  boundTo?.copy(body, secretEnd, 0, boundBytes)
  return sealText(refreshTokenKind, macKeyOf, token.rootKeyId, body)
}

/** Reads a token's text. Needs no database: a malformed or forged token is recognised here. */
export function openRefreshToken(macKeyOf: MacKeyOf, text: string): OpenedRefreshToken {
  const opened = openText(refreshTokenKind, macKeyOf, text)
  if (opened.kind !== 'genuine') return opened
  const { rootKeyId, body } = opened
  return {
    kind: 'genuine',
    token: {
      rootKeyId,
      sessionId: body.subarray(headBytes, generationAt),
      generation: body.readUInt32BE(generationAt),
      secret: body.subarray(secretAt, secretEnd),
      boundTo: body.length > secretEnd + macBytes ? body.subarray(secretEnd, -macBytes) : null,
    },
  }
}

/**
 * Whether a token may be used with the key of this thumbprint, or with none: it is bound to that, or needs no
 * key.
 */
export function isBoundTo({ boundTo }: Pick<RefreshToken, 'boundTo'>, thumbprint: Buffer | null): boolean {
  if (!boundTo) return true
  return thumbprint !== null && timingSafeEqual(boundTo, thumbprint.subarray(0, boundBytes))
}
