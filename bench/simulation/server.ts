import { systemClock } from '../../src/clock.ts'
import { openLateness } from '../../src/endings/lateness.ts'
import { judgeRefresh } from '../../src/protocol/refresh-verdict.ts'

/** A policy of refreshes; the judge is the server's own. */
export interface Policy {
  readonly name: string
  readonly kind: 'rotate' | 'strict'
  readonly retrySeconds: number
  /** How many late generations of the last 8 are theft. */
  readonly lateLimit: number
}

export const strict: Policy = { name: 'strict', kind: 'strict', retrySeconds: 0, lateLimit: 1 }
export const windowOnly: Policy = { name: 'window of 10 s', kind: 'rotate', retrySeconds: 10, lateLimit: 1 }
/** There are never 9 marks in a history of 8. */
export const forgiving: Policy = { name: 'n−1 for ever', kind: 'rotate', retrySeconds: 10, lateLimit: 9 }
export const ours: Policy = { name: '6 of 8 late', kind: 'rotate', retrySeconds: 10, lateLimit: 6 }

/** A session, as far as the judge looks at it. It has no expiry here: it ends only when it is revoked. */
export interface Session {
  readonly user: User
  generation: number
  window_generation: number
  window_opened_at: number
  late_history: number
  isRevoked: boolean
}

export interface User {
  readonly id: Buffer
  readonly source: string
}

/** A server in which time passes only when the simulation moves it. */
export interface Server {
  /** Seconds since the epoch. */
  now: number
  /** A session of a user of its own, unless one is given. */
  logIn(user?: User): Session
  /** Answers a presented generation with the one that its holder is given, or ends the session. */
  present(session: Session, generation: number, source?: string): number | 'ended'
}

export function openServer(policy: Policy): Server {
  const { lateness } = openLateness({ ...systemClock(), steady: () => Math.floor(server.now) })
  const never = Number.MAX_SAFE_INTEGER
  let users = 0
  const server: Server = {
    now: 1_900_000_000,
    logIn: user => ({
      user: user ?? newUser(users++),
      generation: 0,
      window_generation: 0,
      window_opened_at: 0,
      late_history: 0,
      isRevoked: false,
    }),
    present: (session, generation, source = session.user.source) => {
      if (session.isRevoked) return 'ended'
      const now = Math.floor(server.now)
      const state = { ...session, expires_at: never, absolute_expires_at: never }
      const verdict = judgeRefresh(generation, state, now, { ...policy, isOutage: lateness.isOutage() })
      if (verdict.kind === 'theft') {
        session.isRevoked = true
        return 'ended'
      }
      if (verdict.kind === 'rotate') rotate(session, now, policy)
      if (verdict.kind === 'late') {
        session.late_history = verdict.lateHistory
        lateness.countLate(session.user.id, source)
      }
      lateness.countRefresh(session.user.id, source)
      return session.generation
    },
  }
  return server
}

/** Each has an address of his own. */
export function newUser(number: number): User {
  return { id: Buffer.from(`user ${number}`), source: `source ${number}` }
}

/** Does the same as the statement in db/sessions/rotations.ts. */
function rotate(session: Session, now: number, { retrySeconds }: Policy): void {
  if (Math.abs(now - session.window_opened_at) >= retrySeconds) {
    session.window_generation = session.generation
    session.window_opened_at = now
  }
  session.generation++
  session.late_history = (session.late_history << 1) & 255
}

/** So many refreshes in a row, of which no answer was lost: all that they leave behind. */
export function passUndisturbed(session: Session, refreshes: number): void {
  session.generation += refreshes
  session.late_history = refreshes >= 8 ? 0 : (session.late_history << refreshes) & 255
}
