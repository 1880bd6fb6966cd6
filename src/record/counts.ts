import type { EndReason } from '../../db/sessions/end-reasons.ts'
import { OAuthError } from '../errors.ts'
import type { RefreshVerdict } from '../protocol/refresh-verdict.ts'
import type { Event } from './events.ts'

/**
 * All that this server has done since it started. Plain numbers, since a refresh has no time to spare for its
 * statistics.
 */
export interface Counts {
  /** When they began. */
  readonly startedAt: number
  /** Refreshes, by what was done with the token. */
  readonly verdicts: Record<RefreshVerdict['kind'], number>
  /**
   * Sessions, or all of a user's, that this server has ended because a client asked for it, because of what
   * their user has done at a page, or for the sake of newer ones; and those that commands have ended, as
   * every server hears of them.
   */
  readonly revocations: Record<'client' | 'admin' | 'user' | 'limit' | 'command', number>
  /**
   * Log-ins at the pages, by how they went, and the ends of sign-ins; those that run out, or that an epoch
   * ends, are not among them.
   */
  readonly signIns: Record<'started' | 'renewed' | 'failed' | 'throttled' | 'ended', number>
  /**
   * Devices that asked (RFC 8628), and what people have said of them; those that were refused since too many
   * waited; and codes that were wrong, or not looked at for the number of them.
   */
  readonly devices: Record<'asked' | 'withheld' | 'approved' | 'denied' | 'wrong_code' | 'throttled', number>
  /**
   * Personal access tokens that were made here, and those that were shown: what they were let in for, or why
   * not. `unknown` are none of ours, `ended` those whose time is over or that were ended, and `refused` those
   * that are not for the caller, or of no use at their API any more.
   */
  readonly personalTokens: Record<
    'made' | 'introspected' | 'exchanged' | 'unknown' | 'ended' | 'refused',
    number
  >
  /** Exports of users that have ended here, by whether they had all, and how many users they had. */
  readonly exports: Record<'whole' | 'cut_off' | 'users', number>
  /** Mails that people have asked for, and that were not sent since too many were asked for by all. */
  mailsWithheld: number
  /** Errors answered, by code and status, as in `invalid_client 401`. */
  readonly errors: Map<string, number>
  /** Answers of the admin API, by operation and status, as in `readUser 200`. */
  readonly adminRequests: Map<string, number>
  /** Assertions of trusted issuers, by issuer and outcome, as in `https://ci.example accepted`. */
  readonly assertions: Map<string, number>
  /** The answers of `/token`, by client. */
  readonly tokens: ReadonlyMap<string, ReadonlyMap<string, GrantCounts>>
  /** How many lines of the log could not be written. */
  readonly logLinesLost: () => number
  /**
   * The place to count an answer of `/token` in. A caller that has not authenticated is the client '', and an
   * unknown grant is ''.
   */
  ofGrant(clientId: string, grant: string): GrantCounts
}

export interface GrantCounts {
  granted: number
  /** By the code of the error, `throttled` for those of 429. */
  readonly refused: Map<string, number>
}

/**
 * A monitoring system keeps a series for each client. Those beyond are one; the name is none that a client
 * can have.
 */
const clientsMax = 500
export const otherClients = '(others)'

/** Begins to count. */
export function openCounts(logLinesLost = () => 0, startedAt = 0): Counts {
  const tokens = new Map<string, Map<string, GrantCounts>>()
  const ofClient = (id: string): Map<string, GrantCounts> => {
    const found = tokens.get(id)
    if (found) return found
    if (tokens.size >= clientsMax && id !== otherClients) return ofClient(otherClients)
    const grants = new Map<string, GrantCounts>()
    tokens.set(id, grants)
    return grants
  }
  return {
    startedAt,
    verdicts: { rotate: 0, reuse: 0, repeat: 0, late: 0, heal: 0, theft: 0, expired: 0, exhausted: 0 },
    revocations: { client: 0, admin: 0, user: 0, limit: 0, command: 0 },
    signIns: { started: 0, renewed: 0, failed: 0, throttled: 0, ended: 0 },
    devices: { asked: 0, withheld: 0, approved: 0, denied: 0, wrong_code: 0, throttled: 0 },
    personalTokens: { made: 0, introspected: 0, exchanged: 0, unknown: 0, ended: 0, refused: 0 },
    exports: { whole: 0, cut_off: 0, users: 0 },
    mailsWithheld: 0,
    errors: new Map(),
    adminRequests: new Map(),
    assertions: new Map(),
    logLinesLost,
    tokens,
    ofGrant: (clientId, grant) => {
      const grants = ofClient(clientId)
      const found = grants.get(grant)
      if (found) return found
      const counts = { granted: 0, refused: new Map<string, number>() }
      grants.set(grant, counts)
      return counts
    },
  }
}

/** Adds one to a count that may not be there yet. The keys must be few. */
export function countOne(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}

/** Why sessions end because of what their user does. */
const ofUsers: ReadonlySet<string> = new Set<EndReason>([
  'log-out',
  'another user logged in',
  'consent withdrawn',
  'ended by its user',
])

/** Counts what this server has done. */
export function countEvent(counts: Counts, event: Event): void {
  const { verdicts, revocations, signIns, devices, exports } = counts
  switch (event.event) {
    case 'device_approved':
      devices.approved++
      return
    case 'device_denied':
      devices.denied++
      return
    case 'personal_access_token_created':
      counts.personalTokens.made++
      return
    case 'users_export_ended':
      exports[event.detail.is_whole ? 'whole' : 'cut_off']++
      exports.users += event.detail.users
      return
    case 'sign_in_started':
      signIns.started++
      return
    case 'sign_in_renewed':
      signIns.renewed++
      return
    case 'sign_in_ended':
      signIns.ended++
      return
    case 'session_late':
      verdicts.late++
      return
    case 'session_healed':
      verdicts.heal++
      return
    case 'session_theft':
      verdicts.theft++
      return
    case 'session_revoked':
    case 'user_revoked': {
      const reason = event.detail?.reason
      if (reason === 'client' || reason === 'admin' || reason === 'limit') revocations[reason]++
      if (ofUsers.has(reason ?? '')) revocations.user++
    }
  }
}

/** The name that a refusal is counted by. */
export function refusalOf(error: unknown): string {
  if (!(error instanceof OAuthError)) return 'temporarily_unavailable'
  return error.status === 429 ? 'throttled' : error.code
}
