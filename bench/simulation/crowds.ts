import { betweenRefreshes, untilRetry } from './devices.ts'
import type { Random } from './random.ts'
import { newUser, openServer, type Policy, type Session } from './server.ts'
import { neverSeen } from './thieves.ts'

/** Those around a theft: 400 users, each of whom refreshes all the time. */
export interface Crowd {
  /** The share of its answers that is lost. */
  readonly loss: number
  /** The thief has so many sessions of his own, and retries each of their generations late. */
  readonly ownSessions: number
}

const crowdSize = 400

/**
 * How many generations of a client pass until a thief who follows it is seen, for so many thefts one after
 * the other, ascending. He begins with his own sessions when he has the token. Before the first a day passes,
 * in which the server sees what is usual, and two hours before the others.
 */
export function generationsInCrowd(policy: Policy, crowd: Crowd, thefts: number, random: Random): number[] {
  const server = openServer(policy)
  const agenda = openAgenda(server.now)
  const lose = () => random() < crowd.loss

  /** An honest device: asks again until it has an answer, and logs in anew when it must. */
  const live = (session: Session, held: number) => {
    const answer = server.present(session, held)
    if (answer === 'ended') return live(server.logIn(session.user), 0)
    if (lose()) agenda.plan(server.now + untilRetry(random), () => live(session, held))
    else agenda.plan(server.now + betweenRefreshes, () => live(session, answer))
  }
  /** A session whose every generation is retried late, each from an address of its own. */
  const feignOutage = (number: number, session: Session, held: number) => {
    if (isOver) return
    const from = `own ${number}`
    server.present(session, held, from)
    agenda.plan(server.now + 30, () => {
      const answer = server.present(session, held, from)
      const next = answer === 'ended' ? server.logIn(session.user) : session
      agenda.plan(server.now + 30, () => feignOutage(number, next, answer === 'ended' ? 0 : answer))
    })
  }
  let isOver = true
  const pass = (isDone: () => boolean) => {
    while (!isDone()) {
      const { at, act } = agenda.next()
      server.now = at
      act()
    }
  }

  for (let i = 0; i < crowdSize; i++) {
    const session = server.logIn()
    agenda.plan(server.now + random() * betweenRefreshes, () => live(session, 0))
  }
  const seenAfter: number[] = []
  for (let theft = 0; theft < thefts; theft++) {
    const quietUntil = server.now + (theft === 0 ? 24 : 2) * 3600
    pass(() => server.now >= quietUntil)

    isOver = false
    const stolen = server.logIn()
    const thief = newUser(1_000_000 + theft)
    const held = { client: 0, thief: 0 }
    let generations = 0
    const take = (who: 'client' | 'thief') => {
      if (isOver) return
      if (who === 'client') generations++
      const source = who === 'thief' ? thief.source : undefined
      const answer = server.present(stolen, held[who], source)
      if (answer === 'ended' || generations >= neverSeen) isOver = true
      else held[who] = answer
      agenda.plan(server.now + betweenRefreshes, () => take(who))
    }
    agenda.plan(server.now + betweenRefreshes, () => take('client'))
    agenda.plan(server.now + (1 + random()) * betweenRefreshes, () => take('thief'))
    for (let i = 0; i < crowd.ownSessions; i++) feignOutage(i, server.logIn(thief), 0)
    pass(() => isOver)
    seenAfter.push(generations)
  }
  return seenAfter.sort((a, b) => a - b)
}

interface Appointment {
  readonly at: number
  readonly act: () => void
}

/** The events to come, by the second. */
function openAgenda(from: number) {
  const seconds = new Map<number, Appointment[]>()
  let second = Math.floor(from)
  let due: Appointment[] = []
  return {
    plan: (at: number, act: () => void) => {
      const on = Math.max(second + 1, Math.floor(at))
      const planned = seconds.get(on)
      if (planned) planned.push({ at, act })
      else seconds.set(on, [{ at, act }])
    },
    next: (): Appointment => {
      for (;;) {
        const appointment = due.shift()
        if (appointment) return { ...appointment, at: Math.max(appointment.at, second) }
        second++
        due = (seconds.get(second) ?? []).sort((a, b) => a.at - b.at)
        seconds.delete(second)
      }
    },
  }
}
