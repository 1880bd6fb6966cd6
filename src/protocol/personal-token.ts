import { openRowToken, rowTokenKind, sealRowToken, type OpenedRowToken, type RowToken } from './row-token.ts'
import type { MacKeyOf } from './token-text.ts'

/** What the text of a personal access token begins with (row-token.ts). */
export const personalTokenPrefix = 'mm_pat_'

const personalTokenKind = rowTokenKind(personalTokenPrefix)

/** A personal access token: its id is that of its session. */
export function sealPersonalToken(macKeyOf: MacKeyOf, token: RowToken): string {
  return sealRowToken(personalTokenKind, macKeyOf, token)
}

/** Needs no database: a malformed or forged one is recognised here. */
export function openPersonalToken(macKeyOf: MacKeyOf, text: string): OpenedRowToken {
  return openRowToken(personalTokenKind, macKeyOf, text)
}
