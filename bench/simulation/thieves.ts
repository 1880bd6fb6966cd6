import { betweenRefreshes } from './devices.ts'
import { exponential, type Random } from './random.ts'
import { openServer, type Policy } from './server.ts'

/** The habit of a thief who has a copy of the client's newest refresh token. */
export type Thief =
  /** Comes once between each two refreshes of the client. */
  | 'follows'
  /** Comes as often as the client, at moments of chance. */
  | 'comes by chance'
  /** Waits until the client has refreshed a dozen times. */
  | 'waits an hour'
  /** Comes within seconds after the client. */
  | 'times the window'

export const thieves: readonly Thief[] = ['waits an hour', 'comes by chance', 'follows', 'times the window']

/** A thief who has not been seen for so many generations never will be. */
export const neverSeen = 2000

/**
 * How many generations of the client pass from the theft until the session ends, for each of so many thefts,
 * ascending.
 */
export function generationsUntilSeen(policy: Policy, thief: Thief, thefts: number, random: Random): number[] {
  return Array.from({ length: thefts }, () => oneTheft(policy, thief, random)).sort((a, b) => a - b)
}

function oneTheft(policy: Policy, thief: Thief, random: Random): number {
  const server = openServer(policy)
  const session = server.logIn()
  const held = { client: 0, thief: 0 }
  const phase = random() * betweenRefreshes
  let clientDue = server.now + betweenRefreshes
  /** When the thief comes next; `clientDue` is the client's next refresh. */
  const nextVisit = (): number => {
    switch (thief) {
      case 'follows':
        return clientDue + phase
      case 'comes by chance':
        return server.now + exponential(random, betweenRefreshes)
      case 'waits an hour':
        return server.now + 3600
      case 'times the window':
        return clientDue + random() * 8
    }
  }
  let thiefDue = nextVisit()
  for (let generations = 0; generations < neverSeen;) {
    const who = clientDue <= thiefDue ? 'client' : 'thief'
    server.now = Math.min(clientDue, thiefDue)
    if (who === 'client') generations++
    const answer = server.present(session, held[who])
    if (answer === 'ended') return generations
    held[who] = answer
    if (who === 'client') clientDue += betweenRefreshes
    else thiefDue = nextVisit()
  }
  return neverSeen
}
