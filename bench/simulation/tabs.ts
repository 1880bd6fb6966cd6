import { betweenRefreshes, refreshesAYear, untilRetry } from './devices.ts'
import { exponential, type Random } from './random.ts'
import { openServer, type Policy } from './server.ts'

/** How the tabs of one browser share their token. */
export type Tabs =
  /**
   * Each looks, before it refreshes, whether another has done so; and keeps no answer to a token that was
   * replaced since.
   */
  | 'careful'
  /** Each refreshes in any case, and what is heard last is kept, however old it is. */
  | 'careless'

/**
 * Three tabs that keep the token in one place and wake within seconds of each other: how many forced log-outs
 * there are in so many session-years. Requests and answers overtake each other; one way in a hundred takes 2
 * to 15 seconds.
 */
export function forcedLogOutsOfTabs(policy: Policy, tabs: Tabs, years: number, random: Random): number {
  const server = openServer(policy)
  let session = server.logIn()
  let stored = 0
  let storedAt = 0
  let logOuts = 0

  let events: { readonly at: number; readonly happen: () => void }[] = []
  const after = (seconds: number, happen: () => void) => {
    events.push({ at: server.now + seconds, happen })
  }
  const oneWay = () => (random() < 0.01 ? 2 + random() * 13 : exponential(random, 0.1))

  const wake = () => {
    if (tabs === 'careful' && storedAt > server.now - betweenRefreshes / 2) return
    const presented = stored
    const of = session
    after(oneWay(), () => {
      if (of !== session) return // the user has logged in again since
      const answer = server.present(session, presented)
      if (answer === 'ended') {
        logOuts++
        session = server.logIn()
        stored = 0
      } else if (random() < lostShare) after(untilRetry(random), wake)
      else after(oneWay(), () => of === session && keep(answer, presented))
    })
  }
  const keep = (answer: number, presented: number) => {
    if (tabs === 'careful' && presented !== stored) return
    stored = answer
    storedAt = server.now
  }

  for (let round = 0; round < years * refreshesAYear; round++) {
    const start = server.now + betweenRefreshes
    for (let tab = 0; tab < 3; tab++) after(betweenRefreshes + exponential(random, 1), wake)
    while (events.length > 0) {
      const next = events.reduce((first, event) => (event.at < first.at ? event : first))
      events = events.filter(event => event !== next)
      server.now = next.at
      next.happen()
    }
    server.now = Math.max(server.now, start)
  }
  return logOuts
}

const lostShare = 0.001
