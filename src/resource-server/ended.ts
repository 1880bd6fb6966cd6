import type { ServerSentEvent } from '../values/event-source.ts'

/** The sessions that are known to have ended, in bounded memory. */
export interface EndedSessions {
  /** Learns what an event says; false for one that says nothing of sessions. */
  learn(event: ServerSentEvent): boolean
  /** Whether the session of a token has ended. */
  hasEnded(claims: TokenOfSession): boolean
  /** How many sessions and clients are remembered. */
  size(): number
}

export interface TokenOfSession {
  readonly sid?: string
  readonly client_id: string
  readonly iat: number
  /** Of a token that was exchanged: the client of `sid`, and the session of `client_id`. */
  readonly session_client_id?: string
  readonly client_sid?: string
  readonly act?: { readonly sid?: string }
  readonly earlier_sessions?: readonly { readonly sid: string; readonly client_id?: string }[]
}

/**
 * No access token lives longer than a day. Where more has ended than is remembered, the oldest are left to
 * the status lists, which have them by then.
 */
const rememberedMilliseconds = 25 * 3_600_000
export const rememberedMax = 100_000

/** Times are milliseconds since the epoch. */
export function openEnded(now: () => number, max = rememberedMax): EndedSessions {
  const sessions = memory<true>(now, max)
  const clients = memory<number>(now, max)
  let allBefore = 0

  const learnMany = (name: string, { before, sids, client_id: clientId }: Record<string, unknown>) => {
    for (const sid of Array.isArray(sids) ? sids : []) if (typeof sid === 'string') sessions.set(sid, true)
    if (typeof before !== 'number') return
    if (name === 'all') allBefore = Math.max(allBefore, before)
    if (name === 'client' && typeof clientId === 'string')
      clients.set(clientId, Math.max(clients.get(clientId) ?? 0, before))
  }
  const isOver = (sid: string | undefined, clientId: string, iat: number) => {
    if (sid !== undefined && sessions.get(sid)) return true
    const before = Math.max(allBefore, clients.get(clientId) ?? 0)
    return before > 0 && beganAt(sid, iat) < before
  }
  return {
    learn: ({ event, data }) => {
      const facts = readFacts(data)
      const { sid } = facts
      if (event === 'session' && typeof sid === 'string') sessions.set(sid, true)
      else if (event === 'user' || event === 'client' || event === 'all') learnMany(event, facts)
      else return false
      return true
    },
    hasEnded: token => {
      const { sid, client_id, iat, session_client_id: owner = client_id, client_sid: ofClient, act } = token
      if (isOver(sid, owner, iat)) return true
      if (ofClient !== undefined && isOver(ofClient, client_id, iat)) return true
      if (act?.sid !== undefined && sessions.get(act.sid) === true) return true
      const { earlier_sessions: earlier = [] } = token
      return earlier.some(one =>
        one.client_id === undefined ? sessions.get(one.sid) : isOver(one.sid, one.client_id, iat),
      )
    },
    size: () => sessions.size() + clients.size(),
  }
}

function readFacts(data: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(data))
  } catch {
    return {} // it is nothing that an issuer of ours sends
  }
}

/** The second in which a session began: its id is a UUIDv7 (RFC 9562 §5.7). */
function beganAt(sid: string | undefined, issuedAt: number): number {
  const milliseconds = parseInt((sid ?? '').replaceAll('-', '').slice(0, 12), 16)
  return Number.isNaN(milliseconds) ? issuedAt : milliseconds / 1000
}

/** Remembers values for as long as they matter. */
function memory<Value>(now: () => number, max: number) {
  const entries = new Map<string, { readonly value: Value; readonly until: number }>()
  return {
    get: (key: string): Value | undefined => entries.get(key)?.value,
    set: (key: string, value: Value) => {
      // A Map keeps the order in which entries were set.
      entries.delete(key)
      entries.set(key, { value, until: now() + rememberedMilliseconds })
      for (const [oldest, { until }] of entries) {
        if (entries.size <= max && until > now()) return
        entries.delete(oldest)
      }
    },
    size: () => entries.size,
  }
}
