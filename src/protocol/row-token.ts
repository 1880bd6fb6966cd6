import {
  headBytes,
  macBytes,
  openText,
  sealText,
  type MacKeyOf,
  type TokenKind,
  type Unopened,
} from './token-text.ts'

/**
 * A token that names one row, and has a secret of which the row has the hash:
 *
 *   prefix + base64url( version 1 ‖ root key id 4 ‖ id 16 ‖ secret 16 ‖ zero 1 ‖ MAC 16 ) + the checksum of
 *            token-text.ts
 *
 * The zero leaves base64url no bits to spare.
 */
export interface RowToken {
  /** The id of the root key under which the MAC was made: 4 bytes as 8 hexadecimal digits. */
  readonly rootKeyId: string
  /** A UUIDv7 as 16 bytes. */
  readonly id: Buffer
  /** 128 random bits. */
  readonly secret: Buffer
}

export type OpenedRowToken =
  { readonly kind: 'genuine'; readonly token: RowToken } | { readonly kind: Unopened }

const secretAt = headBytes + 16
const secretEnd = secretAt + 16
const bodyBytes = secretEnd + 1 + macBytes

export function rowTokenKind(prefix: string): TokenKind {
  return { prefix, version: 1, bodyBytes: [bodyBytes] }
}

export function sealRowToken(kind: TokenKind, macKeyOf: MacKeyOf, token: RowToken): string {
  const body = Buffer.alloc(bodyBytes)
  token.id.copy(body, headBytes)
  token.secret.copy(body, secretAt)
  return sealText(kind, macKeyOf, token.rootKeyId, body)
}

/** Reads a text. Needs no database: a malformed or forged one is recognised here. */
export function openRowToken(kind: TokenKind, macKeyOf: MacKeyOf, text: string): OpenedRowToken {
  const opened = openText(kind, macKeyOf, text)
  if (opened.kind !== 'genuine') return opened
  const { rootKeyId, body } = opened
  const token = {
    rootKeyId,
    id: body.subarray(headBytes, secretAt),
    secret: body.subarray(secretAt, secretEnd),
  }
  return { kind: 'genuine', token }
}
