import { betweenRefreshes } from './devices.ts'
import { exponential, type Random } from './random.ts'
import { openServer, type Policy, type Session } from './server.ts'

/**
 * A time in which the server answers after its clients have given up: it has rotated, and they do not know.
 */
export interface Outage {
  readonly sessions: number
  readonly minutes: number
  /** The share of answers that comes too late. */
  readonly share: number
}

interface Client {
  readonly session: Session
  held: number
  /** When it refreshes next. */
  due: number
}

/** How many of a server's sessions an outage ends, from an hour before it to two hours after. */
export function endedByOutage(policy: Policy, { sessions, minutes, share }: Outage, random: Random): number {
  const server = openServer(policy)
  const begins = server.now + 3600
  const ends = begins + minutes * 60
  const agenda = new Map<number, Client[]>()
  const plan = (client: Client) => {
    const second = Math.floor(client.due)
    agenda.set(second, [...(agenda.get(second) ?? []), client])
  }
  for (let i = 0; i < sessions; i++) {
    plan({ session: server.logIn(), held: 0, due: server.now + random() * betweenRefreshes })
  }

  let ended = 0
  for (let second = server.now; second < ends + 7200; second++) {
    for (const client of agenda.get(second) ?? []) {
      server.now = client.due
      const answer = server.present(client.session, client.held)
      if (answer === 'ended') {
        ended++
        continue
      }
      const isTooLate = client.due >= begins && client.due < ends && random() < share
      if (!isTooLate) client.held = answer
      client.due += isTooLate ? 10 + exponential(random, 20) : betweenRefreshes
      plan(client)
    }
    agenda.delete(second)
  }
  return ended
}
