/** Tells an outage, in which many clients retry late, from thieves, who make few of them late. */
export interface Lateness {
  /** Counts one refresh that was answered. */
  countRefresh(): void
  /** Counts one late retry of a session. */
  countLate(sessionId: Buffer): void
  /** More than 2 % of all refreshes of the last 10 minutes were late, and so were at least 10 different sessions. */
  isOutage(): boolean
}

const minutes = 10
const outageShare = 0.02
/** Where few sessions refresh at all, two of them are a large share; an outage reaches more than a few. */
const outageSessions = 10

/** Counts in memory, in buckets of a minute: what it takes does not grow with the traffic. `now` is in seconds. */
export function openLateness(now: () => number): Lateness {
  const buckets = Array.from({ length: minutes }, () => ({
    minute: 0,
    refreshes: 0,
    late: 0,
    sessions: new Set<string>(),
  }))
  const current = () => {
    const minute = Math.floor(now() / 60)
    const bucket = buckets[minute % minutes] ?? buckets[0]
    if (!bucket) throw new Error('unreachable: there are ten buckets')
    if (bucket.minute !== minute)
      Object.assign(bucket, { minute, refreshes: 0, late: 0, sessions: new Set<string>() })
    return bucket
  }
  return {
    countRefresh: () => {
      current().refreshes++
    },
    countLate: sessionId => {
      const bucket = current()
      bucket.late++
      if (bucket.sessions.size < outageSessions) bucket.sessions.add(sessionId.toString('latin1'))
    },
    isOutage: () => {
      const oldest = current().minute - minutes
      const recent = buckets.filter(bucket => bucket.minute > oldest)
      const sum = (count: (bucket: (typeof buckets)[0]) => number) =>
        recent.reduce((total, b) => total + count(b), 0)
      const sessions = new Set(recent.flatMap(bucket => [...bucket.sessions]))
      return sessions.size >= outageSessions && sum(b => b.late) > outageShare * sum(b => b.refreshes)
    },
  }
}
