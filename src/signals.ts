import { constants } from 'node:os'
import process from 'node:process'
import type { Clock } from './clock.ts'

/**
 * The signals that ask a process to end: those of init systems, a terminal, and a terminal that goes away.
 */
export type EndSignal = 'SIGTERM' | 'SIGINT' | 'SIGHUP' | 'SIGQUIT'

/** Takes the next signal, instead of ending the process by it; the answer gives it back. */
export type OnSignal = (handle: (signal: EndSignal) => void) => () => void

const ending: readonly EndSignal[] = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT']

/** SIGUSR1 would open a debugger, and both are sent by habit to servers that do something with them. */
const ignored: readonly NodeJS.Signals[] = ['SIGUSR1', 'SIGUSR2']

/** A terminal sends Ctrl-C to all of its processes, and npm sends it on: within that time both are one. */
const sameSeconds = 0.5

/**
 * Obeys signals from now on: the code that has taken them is told of the first, and any other ends the
 * process at once. Where they are not taken the system does that by itself, also in the middle of a step of
 * ours; but the first process of a container (PID 1) it ends only by signals that have a handler. So this
 * comes before all else.
 */
export function obeySignals(clock: Clock): OnSignal {
  let taker: ((signal: EndSignal) => void) | undefined
  let takenAt = -Infinity
  const obey = (signal: EndSignal) => {
    const handle = taker
    taker = undefined
    if (handle) {
      takenAt = clock.steady()
      handle(signal)
    } else if (clock.steady() - takenAt > sameSeconds) endBy(signal)
  }
  const listen = () => {
    for (const signal of ending) process.on(signal, obey)
  }
  const leave = () => {
    for (const signal of ending) process.off(signal, obey)
  }

  for (const signal of ignored) process.on(signal, () => {})
  if (process.pid === 1) listen()
  return handle => {
    if (process.pid !== 1 && !taker) listen()
    taker = handle
    return () => {
      if (taker !== handle) return
      taker = undefined
      if (process.pid !== 1) leave()
    }
  }
}

/** As if it had no handler, so that a shell sees why; but without SIGQUIT's core dump, full of secrets. */
function endBy(signal: EndSignal): void {
  if (signal !== 'SIGQUIT' && process.pid !== 1) {
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  }
  process.exit(128 + constants.signals[signal])
}
