import { openRowToken, rowTokenKind, sealRowToken, type OpenedRowToken, type RowToken } from './row-token.ts'
import type { MacKeyOf } from './token-text.ts'

/** How long a device code and its user code are good, in seconds (RFC 8628 §3.2). */
export const deviceSeconds = 600

/** How often a device may ask, in seconds; so many more after each time that it has asked too soon (§3.5). */
export const pollSeconds = 5

const deviceCodeKind = rowTokenKind('mm_dc_')

/** A device code (RFC 8628 §3.2): its id is that of the session that it becomes. */
export function sealDeviceCode(macKeyOf: MacKeyOf, token: RowToken): string {
  return sealRowToken(deviceCodeKind, macKeyOf, token)
}

/** Needs no database: a malformed or forged one is recognised here. */
export function openDeviceCode(macKeyOf: MacKeyOf, text: string): OpenedRowToken {
  return openRowToken(deviceCodeKind, macKeyOf, text)
}
