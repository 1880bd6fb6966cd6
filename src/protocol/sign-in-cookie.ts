import { headBytes, macBytes, openText, sealText, type MacKeyOf, type Unopened } from './token-text.ts'

/**
 * The text in the cookie of a browser in which somebody is logged in:
 *
 *   `mm_si_` + base64url( version 1 ‖ root key id 4 ‖ sign-in id 16 ‖ secret 16 ‖ zero 1 ‖ MAC 16 ) + the
 *           checksum of token-text.ts
 *
 * Each log-in and step up draws another secret. The zero leaves base64url no bits to spare.
 */
export const signInCookiePrefix = 'mm_si_'
const secretAt = headBytes + 16
const secretEnd = secretAt + 16
const paddingBytes = 1
const signInCookieKind = {
  prefix: signInCookiePrefix,
  version: 1,
  bodyBytes: [secretEnd + paddingBytes + macBytes],
}

export interface SignInCookie {
  /** The id of the root key under which the MAC was made: 4 bytes as 8 hexadecimal digits. */
  readonly rootKeyId: string
  /** A UUIDv7 as 16 bytes. */
  readonly signInId: Buffer
  /** 128 random bits. */
  readonly secret: Buffer
}

export type OpenedSignInCookie =
  { readonly kind: 'genuine'; readonly cookie: SignInCookie } | { readonly kind: Unopened }

export function sealSignInCookie(macKeyOf: MacKeyOf, cookie: SignInCookie): string {
  const body = Buffer.alloc(secretEnd + paddingBytes + macBytes)
  cookie.signInId.copy(body, headBytes)
  cookie.secret.copy(body, secretAt)
  return sealText(signInCookieKind, macKeyOf, cookie.rootKeyId, body)
}

/** Reads a cookie's text. Needs no database: a malformed or forged one is recognised here. */
export function openSignInCookie(macKeyOf: MacKeyOf, text: string): OpenedSignInCookie {
  const opened = openText(signInCookieKind, macKeyOf, text)
  if (opened.kind !== 'genuine') return opened
  const { rootKeyId, body } = opened
  return {
    kind: 'genuine',
    cookie: {
      rootKeyId,
      signInId: body.subarray(headBytes, secretAt),
      secret: body.subarray(secretAt, secretEnd),
    },
  }
}
