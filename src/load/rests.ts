/**
 * Protects refreshes from a program that administers without a pause: the server has several times as long
 * for others before it does the next work of that program. Without other work all is done at once. Refuses
 * nothing itself: a work that waits is under way, and the admission bounds how many are.
 */

import type { Clock } from '../clock.ts'
import type { Admission } from './admission.ts'

/** Does the work of somebody, after a rest where there is other work. */
export type Rests = <T>(who: string, work: () => Promise<T>) => Promise<T>

/** How long a program rests after each work, as a multiple of it: as imports do. */
export const restShare = 5

/** A work that took longer has waited for something else, such as a password hash or another process. */
export const longestWork = 0.05

/** Beyond so many, those who have rested are forgotten. */
const programsMax = 100

interface Program {
  /** When its next work may begin, by the steady clock. */
  freeAt: number
  /** How long its last work took. */
  took: number
  /** How many are under way, or wait. */
  underWay: number
  /** How many works of others had ended when its last one did. */
  seen: number
}

export function openRests(clock: Clock, admission: Pick<Admission, 'underWay' | 'begun'>): Rests {
  const programs = new Map<string, Program>()
  const own = { underWay: 0, begun: 0 }
  const others = () => {
    const begun = admission.begun() - own.begun
    return { begun, ended: begun - (admission.underWay() - own.underWay) }
  }

  const programOf = (who: string) => {
    const known = programs.get(who)
    if (known) return known
    if (programs.size >= programsMax) {
      for (const [name, { underWay, freeAt }] of programs)
        if (underWay === 0 && freeAt <= clock.steady()) programs.delete(name)
    }
    const program: Program = { freeAt: -Infinity, took: 0, underWay: 0, seen: others().ended }
    programs.set(who, program)
    return program
  }

  return async (who, work) => {
    own.begun++
    own.underWay++
    const program = programOf(who)
    program.underWay++
    const present = clock.steady()
    // Between two turns of the event loop none may be under way, and many have been.
    const isBusy = others().begun > program.seen
    const beginsAt = isBusy ? Math.max(present, program.freeAt) : present
    // The next one begins after this one, which is taken to last as long as the one before.
    program.freeAt = beginsAt + (1 + restShare) * program.took
    try {
      if (beginsAt > present) await clock.pause(beginsAt - present)
      const begunAt = clock.steady()
      try {
        return await work()
      } finally {
        const endedAt = clock.steady()
        program.took = Math.min(endedAt - begunAt, longestWork)
        const restedAt = endedAt + restShare * program.took
        program.freeAt = program.underWay > 1 ? Math.max(program.freeAt, restedAt) : restedAt
        program.seen = others().ended
      }
    } finally {
      program.underWay--
      own.underWay--
    }
  }
}
