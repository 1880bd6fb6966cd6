/** Before the name of a grant type that an RFC has added (RFC 6755). */
const urn = 'urn:ietf:params:oauth:grant-type:' as const

/** RFC 7523 §2.1. */
export const jwtBearer = `${urn}jwt-bearer` as const

/** RFC 8693 §2.1. */
export const tokenExchange = `${urn}token-exchange` as const

/** RFC 8628 §3.4. */
export const deviceGrant = `${urn}device_code` as const

/**
 * The grant types of this server (RFC 6749 §1.3), and what holds for each wherever it is named: who may have
 * it, and whether it starts a session of a user, which alone has refresh tokens. Each has its `Grant` in
 * src/grants/.
 */
export const grantFacts = {
  authorization_code: { isForPublic: true, startsUserSession: true },
  password: { isForPublic: true, startsUserSession: true },
  refresh_token: { isForPublic: true, startsUserSession: false },
  client_credentials: { isForPublic: false, startsUserSession: false },
  [jwtBearer]: { isForPublic: false, startsUserSession: false },
  [tokenExchange]: { isForPublic: false, startsUserSession: false },
  [deviceGrant]: { isForPublic: true, startsUserSession: true },
} as const satisfies Readonly<Record<string, GrantFacts>>

interface GrantFacts {
  /** Whether a client without credentials may have it. */
  readonly isForPublic: boolean
  readonly startsUserSession: boolean
}

export type GrantType = keyof typeof grantFacts

export const grantTypes = Object.keys(grantFacts) as readonly GrantType[]

export function isGrantType(text: string): text is GrantType {
  return Object.hasOwn(grantFacts, text)
}

/** The grant type that people call so: `jwt-bearer` without what stands before it. */
export function grantTypeNamed(text: string): string {
  return isGrantType(`${urn}${text}`) ? `${urn}${text}` : text
}

/** As people call them. */
export const grantNames: readonly string[] = grantTypes.map(grantType => grantType.replace(urn, ''))
