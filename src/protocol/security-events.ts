/** The `typ` of a security event token (RFC 8417 §2.3, SSF 1.0 §4.1.1). */
export const securityEventTyp = 'secevent+jwt'

/** Signs all security event tokens: the CAEP Interoperability Profile 1.0 §2.6 knows no other. */
export const securityEventAlg = 'RS256'

const caep = 'https://schemas.openid.net/secevent/caep/event-type/'
const risc = 'https://schemas.openid.net/secevent/risc/event-type/'
const ssf = 'https://schemas.openid.net/secevent/ssf/event-type/'

/** The events that a stream may be of (CAEP 1.0 §3, RISC 1.0 §2), by the last part of their URIs. */
export const eventTypes = {
  'session-revoked': `${caep}session-revoked`,
  'credential-change': `${caep}credential-change`,
  'assurance-level-change': `${caep}assurance-level-change`,
  'account-disabled': `${risc}account-disabled`,
  'account-enabled': `${risc}account-enabled`,
  'account-purged': `${risc}account-purged`,
} as const

export type EventTypeName = keyof typeof eventTypes

/** Those about a stream itself, which any stream has (SSF 1.0 §8.1.4, §8.1.5). */
export const streamEventTypes = {
  verification: `${ssf}verification`,
  'stream-updated': `${ssf}stream-updated`,
} as const

export const eventTypeNames = Object.keys(eventTypes) as readonly EventTypeName[]

/** The URIs of all events that a stream may be of. */
export const eventTypeUris: readonly string[] = Object.values(eventTypes)

export const pushDelivery = 'urn:ietf:rfc:8935'
export const pollDelivery = 'urn:ietf:rfc:8936'

/** The simple subjects (RFC 9493 §3) that are named here. */
export type SimpleSubject =
  | { readonly format: 'iss_sub'; readonly iss: string; readonly sub: string }
  | { readonly format: 'opaque'; readonly id: string }

/** Whom or what an event is about (SSF 1.0 §3). */
export type EventSubject =
  | SimpleSubject
  | {
      readonly format: 'complex'
      readonly user?: SimpleSubject
      readonly session?: SimpleSubject
      readonly application?: SimpleSubject
      readonly tenant?: SimpleSubject
    }

/** What a security event token says, apart from its receiver. */
export interface SecurityEvent {
  /** The URI of its type. */
  readonly type: string
  readonly subject: EventSubject
  /** Members of the event. */
  readonly members: Readonly<Record<string, unknown>>
}

export interface SecurityEventIssue {
  readonly issuer: string
  readonly audience: string
  /** When it is signed. */
  readonly now: number
  /** Its `jti`. */
  readonly id: string
  /** The same for all tokens that have one cause. */
  readonly transaction: string
  /** When it happened. */
  readonly at: number
}

/** The claims of a security event token (RFC 8417 §2.2): neither `sub` nor `exp` (SSF 1.0 §4.1.2, §4.1.7). */
export function securityEventClaims(
  { type, subject, members }: SecurityEvent,
  { issuer, audience, now, id, transaction, at }: SecurityEventIssue,
) {
  return {
    iss: issuer,
    aud: audience,
    iat: now,
    jti: id,
    txn: transaction,
    toe: at,
    sub_id: subject,
    events: { [type]: members },
  }
}
