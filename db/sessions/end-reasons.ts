import type { JobTable } from '../schema.ts'

/** Why sessions have ended: their rows and the log say it in these words. */
export const endReasons = [
  'client',
  'admin',
  'theft',
  'code used twice',
  'limit',
  'command',
  'password changed',
  'user disabled',
  'user deleted',
  'client disabled',
  'client deleted',
  'issuer changed',
  'copied',
  'restored',
  'ended again',
  'log-out',
  'another user logged in',
  'consent withdrawn',
  'ended by its user',
] as const

export type EndReason = (typeof endReasons)[number]

/** When sessions have ended, in seconds since the epoch, and why. */
export interface End {
  readonly now: number
  readonly reason: EndReason
  /** Shows how far the ends are written, where an epoch ends many. */
  readonly job?: JobTable | undefined
}

/** The same as a log tells it, or with a reason that was typed. */
export interface ToldEnd extends Omit<End, 'reason'> {
  readonly reason: string
}
