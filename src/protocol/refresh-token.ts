import { timingSafeEqual } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { day } from '../values/duration.ts'
import { hmacSha256 } from '../values/sha256.ts'

/**
 * The refresh token's text:
 *
 *   `mm_rt_` + base64url( version 1 ‖ root key id 4 ‖ session id 16 ‖ generation 4 ‖ session secret 16 ‖ key 0 or 18 ‖ MAC 16 )
 *           + CRC-32 of all before it, as 6 base62 digits
 *
 * Where it is bound to a key, it has the beginning of that key's thumbprint, so that a database that has gone
 * back in time does not take it without. 57 bytes are 76 characters of base64url and 75 are 100, with no bits
 * to spare, so each token has exactly one spelling. The checksum lets a secret scanner recognise a leaked
 * token offline; it protects nothing.
 *
 * Every later version begins with its number and ends with this checksum. It is not asked to be genuine: a
 * version that makes its MAC in another way must not log people out whose requests reach a server that is
 * still behind.
 */
export const refreshTokenPrefix = 'mm_rt_'
const version = 1
const secretEnd = 41
const boundBytes = 18
const macBytes = 16
const bodyBytes: readonly number[] = [secretEnd + macBytes, secretEnd + boundBytes + macBytes]
const checksumLength = 6
/** Longer than a token of any version is going to be. */
const tokenLengthMax = 512

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

/** Finds the MAC key that belongs to a root key's id: the same buffer each time. */
export type MacKeyOf = (rootKeyId: string) => Buffer | undefined

export type OpenedRefreshToken =
  | { readonly kind: 'genuine'; readonly token: RefreshToken }
  /** `later_version`: if it is genuine, only a later program can tell. */
  | { readonly kind: 'malformed' | 'forged' | 'unknown_root_key' | 'later_version' }

export function sealRefreshToken(macKeyOf: MacKeyOf, token: RefreshToken): string {
  const macKey = macKeyOf(token.rootKeyId)
  if (!macKey) throw new Error('the root key of a new refresh token is not loaded')
  const { boundTo } = token
  const signedBytes = secretEnd + (boundTo ? boundBytes : 0)
  const body = Buffer.allocUnsafe(signedBytes + macBytes)
  body[0] = version
  body.write(token.rootKeyId, 1, 'hex')
  token.sessionId.copy(body, 5)
  body.writeUInt32BE(token.generation, 21)
  token.secret.copy(body, 25)
  boundTo?.copy(body, secretEnd, 0, boundBytes)
  macOf(macKey, body).copy(body, signedBytes)
  const text = refreshTokenPrefix + body.toString('base64url')
  return text + checksum(text)
}

/** Reads a token's text. Needs no database: a malformed or forged token is recognised here. */
export function openRefreshToken(macKeyOf: MacKeyOf, text: string): OpenedRefreshToken {
  if (text.length > tokenLengthMax || !text.startsWith(refreshTokenPrefix)) return { kind: 'malformed' }
  const checkedText = text.slice(0, -checksumLength)
  if (checksum(checkedText) !== text.slice(-checksumLength)) return { kind: 'malformed' }
  const bodyText = checkedText.slice(refreshTokenPrefix.length)
  const body = Buffer.from(bodyText, 'base64url')
  // Node's decoder skips what it does not know, so only a text that it would write itself counts.
  if (body.toString('base64url') !== bodyText) return { kind: 'malformed' }
  const [ofVersion = 0] = body
  if (ofVersion > version) return { kind: 'later_version' }
  if (ofVersion !== version || !bodyBytes.includes(body.length)) return { kind: 'malformed' }

  const rootKeyId = body.toString('hex', 1, 5)
  const macKey = macKeyOf(rootKeyId)
  if (!macKey) return { kind: 'unknown_root_key' }
  if (!timingSafeEqual(macOf(macKey, body), body.subarray(-macBytes))) return { kind: 'forged' }
  return {
    kind: 'genuine',
    token: {
      rootKeyId,
      sessionId: body.subarray(5, 21),
      generation: body.readUInt32BE(21),
      secret: body.subarray(25, secretEnd),
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

function macOf(macKey: Buffer, body: Buffer): Buffer {
  return hmacSha256(macKey, body.subarray(0, -macBytes)).subarray(0, macBytes)
}

const base62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

/** The CRC-32 of the text as 6 base62 digits, most significant first. */
function checksum(text: string): string {
  let rest = crc32(text)
  let digits = ''
  for (let i = 0; i < checksumLength; i++) {
    digits = base62.charAt(rest % 62) + digits
    rest = Math.floor(rest / 62)
  }
  return digits
}
