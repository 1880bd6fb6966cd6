/**
 * How many wrong guesses are let through: a bucket that each of them adds a point to, and that loses one every so many
 * seconds. A guess that would make it overflow is refused.
 */
export interface GuessLimit {
  readonly points: number
  readonly everySeconds: number
  /** How many points the bucket holds, where others may fill it higher than this limit does. */
  readonly holds?: number
}

/** What the bucket of an account holds. With that of its devices it is 100. */
const accountPoints = 80

/**
 * Of one account, by whoever has not logged in to it before. At its steady rate that is 144 guesses a day, whatever the
 * number of attackers and of their addresses.
 */
export const strangersLimit: GuessLimit = { points: 20, everySeconds: 600, holds: accountPoints }

/**
 * Of one account in all: the same bucket, which from addresses of earlier log-ins may be filled higher. So strangers, who
 * fill it to 20 at the most, leave room for the owner, and all guesses together stay within what NIST SP 800-63B
 * §5.2.2 allows, those with device tokens included.
 */
export const accountLimit: GuessLimit = { points: accountPoints, everySeconds: strangersLimit.everySeconds }

/** Of one account from one source. */
export const pairLimit: GuessLimit = { points: 10, everySeconds: 60 }

/** From one source, whatever the accounts: a large office, all of whose people mistype on the same morning, stays within. */
export const sourceLimit: GuessLimit = { points: 200, everySeconds: 20 }

/** With one device token, which only a log-in of that account hands out. */
export const deviceLimit: GuessLimit = { points: 10, everySeconds: 300 }

/** With all device tokens of one account together: more of them are no more guesses. What comes with one counts only here. */
export const devicesLimit: GuessLimit = { points: 20, everySeconds: 300 }

/** Of one client's secret. A right one is let in all the same: it has 256 random bits, and nobody may lock a client out. */
export const clientSecretLimit: GuessLimit = { points: 50, everySeconds: 10 }

/** How many seconds a bucket takes to empty that is full. No bucket takes longer, unless a clock went wrong. */
export function secondsWhenFull(limit: GuessLimit): number {
  return secondsToFill(limit.holds ?? limit.points, limit)
}

/** How many seconds a bucket takes to empty that holds so many points. */
export function secondsToFill(points: number, { everySeconds }: GuessLimit): number {
  return points * everySeconds
}

/** For how many seconds one more guess is too many; 0 when it is not. `fill` is how many the bucket takes to empty. */
export function secondsToWait(fill: number, limit: GuessLimit): number {
  return Math.max(0, fill - secondsToFill(limit.points - 1, limit))
}
