/**
 * The rules of a refresh once more, in other words than the server's: what each request must be answered,
 * told from the story so far. It knows nothing of rows, bits and statements.
 */
export interface SessionModel {
  readonly kind: 'rotate' | 'strict' | 'reuse'
  /** The generation of the newest token that was ever given out, as far as the database knows. */
  newest: number
  /** The window of ten seconds, and the generation that opened it. */
  windowFrom: number
  windowOpenedAt: number
  /** The generations whose predecessor came late. */
  late: ReadonlySet<number>
  idleEndsAt: number
  readonly absoluteEndsAt: number
  /** Why nothing works any more. */
  end: string | undefined
}

const windowSeconds = 10
const lateLimit = 6
const idleSeconds = 30 * 86_400

export function newSessionModel(kind: SessionModel['kind'], now: number): SessionModel {
  return {
    kind,
    newest: 0,
    windowFrom: 0,
    windowOpenedAt: 0,
    late: new Set(),
    idleEndsAt: now + idleSeconds,
    absoluteEndsAt: now + 180 * 86_400,
    end: undefined,
  }
}

/** What the server knows beside the session. */
export interface Moment {
  readonly now: number
  /** While so much is late everywhere that it must be an outage, a late client is not taken for a thief. */
  readonly isOutage: boolean
}

/**
 * The generation that the answer to a token of generation `presented` gives out; undefined when it is
 * refused.
 */
export function present(
  session: SessionModel,
  presented: number,
  { now, isOutage }: Moment,
): number | undefined {
  if (session.end !== undefined) return undefined
  const isFromTheFuture = presented > session.newest
  if (now >= (isFromTheFuture ? session.absoluteEndsAt : session.idleEndsAt)) return undefined
  if (isFromTheFuture) heal(session, presented)
  if (presented === session.newest) return rotate(session, now)
  if (session.kind === 'strict') return endByTheft(session)

  const isInWindow = Math.abs(now - session.windowOpenedAt) < windowSeconds
  if (isInWindow && presented >= session.windowFrom) return session.newest
  if (presented < session.newest - 1) return endByTheft(session)

  const late = new Set(session.late).add(session.newest)
  const lately = [...late].filter(generation => generation > session.newest - 8).length
  if (!session.late.has(session.newest) && lately >= lateLimit && !isOutage) return endByTheft(session)
  session.late = late
  return session.newest
}

/** The first of the two steps of a healing, after which a server may be killed. */
export function heal(session: SessionModel, presented: number): void {
  Object.assign(session, { newest: presented, windowOpenedAt: 0, late: new Set() })
}

function rotate(session: SessionModel, now: number): number {
  session.idleEndsAt = Math.min(now + idleSeconds, session.absoluteEndsAt)
  if (session.kind === 'reuse') return session.newest
  const seconds = session.kind === 'strict' ? 0 : windowSeconds
  if (Math.abs(now - session.windowOpenedAt) >= seconds) {
    session.windowFrom = session.newest
    session.windowOpenedAt = now
  }
  return ++session.newest
}

function endByTheft(session: SessionModel): undefined {
  session.end = 'theft'
}
