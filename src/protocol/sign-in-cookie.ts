import { openRowToken, rowTokenKind, sealRowToken } from './row-token.ts'
import type { MacKeyOf, Unopened } from './token-text.ts'

/** What the text in the cookie of a browser begins with in which somebody is logged in (row-token.ts). */
export const signInCookiePrefix = 'mm_si_'

const signInCookieKind = rowTokenKind(signInCookiePrefix)

/** Each log-in and step up draws another secret. */
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

export function sealSignInCookie(macKeyOf: MacKeyOf, { signInId: id, ...rest }: SignInCookie): string {
  return sealRowToken(signInCookieKind, macKeyOf, { id, ...rest })
}

/** Reads a cookie's text. Needs no database: a malformed or forged one is recognised here. */
export function openSignInCookie(macKeyOf: MacKeyOf, text: string): OpenedSignInCookie {
  const opened = openRowToken(signInCookieKind, macKeyOf, text)
  if (opened.kind !== 'genuine') return opened
  const { id: signInId, ...rest } = opened.token
  return { kind: 'genuine', cookie: { signInId, ...rest } }
}
