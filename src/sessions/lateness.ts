/** Tells an outage, in which many clients retry late, from thieves, who make few of them late. */
export interface Lateness {
  /** Counts one refresh that was answered. */
  countRefresh(sessionId: Buffer): void
  /** Counts one generation that was retried late. */
  countLate(sessionId: Buffer): void
  /** More than 2 % of all refreshes of the last 10 minutes were late, and so were many different sessions. */
  isOutage(): boolean
}

const minutes = 10
const outageShare = 0.02
/**
 * Where few sessions refresh at all, one thief makes a large share of it late. An outage reaches more than a few sessions:
 * ten, or half of those there are. Of less than three nobody can tell.
 */
const outageSessions = { many: 10, few: 3 }

/** Counts in memory, in buckets of a minute: what it takes does not grow with the traffic. `now` is in seconds. */
export function openLateness(now: () => number): Lateness {
  const buckets = Array.from({ length: minutes }, newBucket)
  const current = () => {
    const minute = Math.floor(now() / 60)
    const bucket = buckets[minute % minutes] ?? buckets[0]
    if (!bucket) throw new Error('unreachable: there are ten buckets')
    if (bucket.minute !== minute) Object.assign(bucket, newBucket(), { minute })
    return bucket
  }
  return {
    countRefresh: sessionId => {
      const bucket = current()
      bucket.refreshes++
      // Half of so many are many already.
      if (bucket.active.size < 2 * outageSessions.many) bucket.active.add(sessionId.toString('latin1'))
    },
    countLate: sessionId => {
      const bucket = current()
      bucket.late++
      if (bucket.lateSessions.size < outageSessions.many)
        bucket.lateSessions.add(sessionId.toString('latin1'))
    },
    isOutage: () => {
      const { minute } = current()
      // A clock that was set back leaves buckets of the future behind.
      const recent = buckets.filter(bucket => bucket.minute <= minute && bucket.minute > minute - minutes)
      const total = (count: 'refreshes' | 'late') => recent.reduce((sum, bucket) => sum + bucket[count], 0)
      const distinct = (which: 'active' | 'lateSessions') => new Set(recent.flatMap(b => [...b[which]])).size
      const wanted = Math.max(outageSessions.few, Math.min(outageSessions.many, distinct('active') / 2))
      return distinct('lateSessions') >= wanted && total('late') > outageShare * total('refreshes')
    },
  }
}

function newBucket() {
  return { minute: 0, refreshes: 0, late: 0, active: new Set<string>(), lateSessions: new Set<string>() }
}
