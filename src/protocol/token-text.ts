import { timingSafeEqual } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { hmacSha256 } from '../values/sha256.ts'

/*
 * The text of a token that is recognised without a database:
 *
 *   prefix + base64url( version 1 ‖ root key id 4 ‖ … ‖ MAC 16 )
 *          + CRC-32 of all before it, as 6 base62 digits
 *
 * Its length has no bits of base64url to spare, so each token has exactly one spelling. The checksum lets a
 * secret scanner recognise a leaked token offline; it protects nothing.
 *
 * Every later version begins with its number and ends with this checksum. It is not asked to be genuine: a
 * version that makes its MAC in another way must not log people out whose requests reach a server that is
 * still behind.
 */

/** One kind of token. */
export interface TokenKind {
  readonly prefix: string
  readonly version: number
  /** How long it may be before it is encoded, with its MAC: in bytes, each a multiple of 3. */
  readonly bodyBytes: readonly number[]
}

/** What all kinds begin with: the version and the id of the root key. */
export const headBytes = 5
export const macBytes = 16
const checksumLength = 6
/** Longer than a token of any kind and version is going to be. */
const textLengthMax = 512

/** Finds the MAC key that belongs to a root key's id: the same buffer each time. */
export type MacKeyOf = (rootKeyId: string) => Buffer | undefined

export type OpenedText =
  | { readonly kind: 'genuine'; readonly rootKeyId: string; readonly body: Buffer }
  | { readonly kind: Unopened }

/** `later_version`: if it is genuine, only a later program can tell. */
export type Unopened = 'malformed' | 'forged' | 'unknown_root_key' | 'later_version'

/** Completes a body, which has room for the head and the MAC, and writes it as a text. */
export function sealText(
  { prefix, version }: TokenKind,
  macKeyOf: MacKeyOf,
  rootKeyId: string,
  body: Buffer,
): string {
  const macKey = macKeyOf(rootKeyId)
  if (!macKey) throw new Error('the root key of a new token is not loaded')
  body[0] = version
  body.write(rootKeyId, 1, 'hex')
  macOf(macKey, body).copy(body, body.length - macBytes)
  const text = prefix + body.toString('base64url')
  return text + checksum(text)
}

/** Reads a text. A malformed or forged one is recognised here. */
export function openText(
  { prefix, version, bodyBytes }: TokenKind,
  macKeyOf: MacKeyOf,
  text: string,
): OpenedText {
  if (text.length > textLengthMax || !text.startsWith(prefix)) return { kind: 'malformed' }
  const checkedText = text.slice(0, -checksumLength)
  if (checksum(checkedText) !== text.slice(-checksumLength)) return { kind: 'malformed' }
  const bodyText = checkedText.slice(prefix.length)
  const body = Buffer.from(bodyText, 'base64url')
  // Node's decoder skips what it does not know, so only a text that it would write itself counts.
  if (body.toString('base64url') !== bodyText) return { kind: 'malformed' }
  const [ofVersion = 0] = body
  if (ofVersion > version) return { kind: 'later_version' }
  if (ofVersion !== version || !bodyBytes.includes(body.length)) return { kind: 'malformed' }

  const rootKeyId = body.toString('hex', 1, headBytes)
  const macKey = macKeyOf(rootKeyId)
  if (!macKey) return { kind: 'unknown_root_key' }
  if (!timingSafeEqual(macOf(macKey, body), body.subarray(-macBytes))) return { kind: 'forged' }
  return { kind: 'genuine', rootKeyId, body }
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
