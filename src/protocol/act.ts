import { isObject } from '../values/json.ts'

/*
 * Who acts for whom, as tokens say it (RFC 8693 §4.1, §4.4). The subject is the `sub` of the token; the actor
 * at the top is the one that counts, and those below are its history.
 */

/** The claim `act`. */
export interface ActClaim {
  /** A client, or a user. */
  readonly sub: string
  /** Its session, where it has shown a token of its own: that ends what it may do. */
  readonly sid?: string
  /** Who has acted before it. */
  readonly act?: ActClaim
}

/** So many have acted at the most: a chain of exchanges ends, and a token stays short. */
export const actorsMax = 5

/** The chain of a token that this server has signed; undefined where its subject acts itself. */
export function actOf(claims: Readonly<Record<string, unknown>>): ActClaim | undefined {
  const { act } = claims
  // Written by `withActor`.
  return isObject(act) ? (act as unknown as ActClaim) : undefined
}

/** The chain with one more at its top. */
export function withActor(
  before: ActClaim | undefined,
  { sub, sid }: Pick<ActClaim, 'sub' | 'sid'>,
): ActClaim {
  return { sub, ...(sid !== undefined && { sid }), ...(before && { act: before }) }
}

export function countActors(act: ActClaim | undefined): number {
  return act ? 1 + countActors(act.act) : 0
}

/**
 * Whether a token lets this party act for its subject: any party where it has no `may_act`, and none where
 * that names one in a way that is not known here.
 */
export function mayAct(
  { may_act: named, iss }: Readonly<Record<string, unknown>>,
  { sub }: Pick<ActClaim, 'sub'>,
): boolean {
  if (named === undefined) return true
  if (!isObject(named)) return false
  const { sub: namedSub, iss: namedIssuer = iss, ...others } = named
  return namedSub === sub && namedIssuer === iss && Object.keys(others).length === 0
}

/** A session with which a token ends, beside its own. */
export interface EarlierSession {
  readonly sid: string
  /** The client whose session it is; undefined for an actor's, which may be a user's. */
  readonly client_id?: string
}

/** More are in no chain: clients that impersonate leave no actor to be counted. */
export const earlierMax = 16

/**
 * The sessions of all that have had a part in a token, beside that of its subject: of the clients that have
 * exchanged it, and of those that act by tokens of their own. None for a token that was not exchanged.
 */
export function earlierSessions(claims: Readonly<Record<string, unknown>>): readonly EarlierSession[] {
  if (!isExchanged(claims)) return []
  const { client_id, client_sid, earlier_sessions: before = [] } = claims
  const sid = actOf(claims)?.sid
  return [
    // Of a token of ours.
    ...(before as readonly EarlierSession[]),
    { sid: String(client_sid), client_id: String(client_id) },
    ...(sid === undefined ? [] : [{ sid }]),
  ]
}

/** Whether a token was exchanged for another: it names the session of the client that it was issued to. */
export function isExchanged(claims: Readonly<Record<string, unknown>>): boolean {
  return claims['client_sid'] !== undefined
}
