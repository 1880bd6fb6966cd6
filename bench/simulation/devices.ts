import { exponential, successesBefore, type Random } from './random.ts'
import { openServer, passUndisturbed, type Policy } from './server.ts'

/** A device that is used four hours a day, with access tokens of five minutes. */
export const refreshesAYear = 365 * 48
export const betweenRefreshes = 300

/** How a device's answers are lost; the server has rotated, and the device does not know. */
export interface Loss {
  /** The share of answers that is lost in a bad stretch. */
  readonly share: number
  /** How many refreshes a bad stretch lasts on average. All are bad if it is left out. */
  readonly bad?: number
  /** How many lie between two of them. */
  readonly good?: number
}

/**
 * How many forced log-outs there are in so many session-years. (A request that is lost costs nothing under
 * any policy: the server has not seen it. So only answers are lost here.)
 */
export function forcedLogOuts(policy: Policy, loss: Loss, years: number, random: Random): number {
  const server = openServer(policy)
  const { share, bad = Infinity, good = 0 } = loss
  let session = server.logIn()
  let logOuts = 0
  let left = years * refreshesAYear
  const refreshWithoutLoss = (refreshes: number) => {
    passUndisturbed(session, refreshes)
    server.now += refreshes * betweenRefreshes
    left -= refreshes
  }
  /** One refresh, asked for again until its answer arrives. The first answer is lost. */
  const refreshWithLoss = () => {
    const held = session.generation
    server.present(session, held)
    do {
      server.now += untilRetry(random)
      if (server.present(session, held) === 'ended') {
        logOuts++
        session = server.logIn()
        return
      }
    } while (random() < share)
  }

  while (left > 0) {
    if (good > 0) refreshWithoutLoss(successesBefore(random, 1 / good))
    let stretch = bad === Infinity ? left : successesBefore(random, 1 / bad) + 1
    while (stretch > 0 && left > 0) {
      const answered = Math.min(stretch, successesBefore(random, share))
      refreshWithoutLoss(answered)
      stretch -= answered
      if (stretch <= 0) break
      refreshWithLoss()
      refreshWithoutLoss(0)
      server.now += betweenRefreshes
      stretch--
      left--
    }
  }
  return logOuts
}

/**
 * How long until a device asks again whose answer was lost, in seconds. Half of the lost answers are noticed
 * at once, since the connection broke; most others by a time-out, which no window of ten seconds outlasts;
 * some only when the laptop is opened again.
 */
export function untilRetry(random: Random): number {
  const way = random()
  if (way < 0.5) return random()
  return 10 + exponential(random, way < 0.85 ? 30 : 4 * 3600)
}
