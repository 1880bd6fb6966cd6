import { headBytes, macBytes, openText, sealText, type MacKeyOf, type Unopened } from './token-text.ts'

/**
 * The text of a personal access token:
 *
 *   `mm_pat_` + base64url( version 1 ‖ root key id 4 ‖ session id 16 ‖ secret 16 ‖ zero 1 ‖ MAC 16 ) + the
 *            checksum of token-text.ts
 *
 * The zero leaves base64url no bits to spare.
 */
export const personalTokenPrefix = 'mm_pat_'
const secretAt = headBytes + 16
const secretEnd = secretAt + 16
const paddingBytes = 1
const personalTokenKind = {
  prefix: personalTokenPrefix,
  version: 1,
  bodyBytes: [secretEnd + paddingBytes + macBytes],
}

export interface PersonalTokenText {
  /** The id of the root key under which the MAC was made: 4 bytes as 8 hexadecimal digits. */
  readonly rootKeyId: string
  /** A UUIDv7 as 16 bytes. */
  readonly sessionId: Buffer
  /** 128 random bits. */
  readonly secret: Buffer
}

export type OpenedPersonalToken =
  { readonly kind: 'genuine'; readonly token: PersonalTokenText } | { readonly kind: Unopened }

export function sealPersonalToken(macKeyOf: MacKeyOf, token: PersonalTokenText): string {
  const body = Buffer.alloc(secretEnd + paddingBytes + macBytes)
  token.sessionId.copy(body, headBytes)
  token.secret.copy(body, secretAt)
  return sealText(personalTokenKind, macKeyOf, token.rootKeyId, body)
}

/** Reads a token's text. Needs no database: a malformed or forged one is recognised here. */
export function openPersonalToken(macKeyOf: MacKeyOf, text: string): OpenedPersonalToken {
  const opened = openText(personalTokenKind, macKeyOf, text)
  if (opened.kind !== 'genuine') return opened
  const { rootKeyId, body } = opened
  return {
    kind: 'genuine',
    token: {
      rootKeyId,
      sessionId: body.subarray(headBytes, secretAt),
      secret: body.subarray(secretAt, secretEnd),
    },
  }
}
