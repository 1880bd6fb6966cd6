import type { Database } from '../../db/database.ts'
import { deleteAuditEntries, insertAuditEntries } from '../../db/installation/audit.ts'
import type { NewAuditEntry } from '../../db/writer.ts'
import type { Clock } from '../clock.ts'
import { openBuckets, secondsToWait, type BucketLimit } from '../load/buckets.ts'
import { forgetSeconds, tellSeconds, type Job } from '../upkeep/job.ts'
import { queueLength, type Metric } from '../upkeep/metric.ts'

/**
 * Entries of what changes nothing, such as wrong guesses: anybody can cause as many of them as he likes. They
 * are written together, once a second, those that say the same as one; and beyond a steady two a second they
 * are only counted, for each event and client, and the counts written once a minute. Of those rows one source
 * has a quarter at the most, so that no attacker hides in a noise of his own.
 */
export interface AuditTrail {
  /** `source` is where its cause came from, if that can be told. */
  note(entry: NewAuditEntry, source: string | undefined): void
  /** How many entries wait. */
  waiting(): number
}

/** A whole day of somebody trying everything is about 170,000 rows. */
const rowsPerSecond = 2
const burstRows = 200
const ofSource: BucketLimit = { points: burstRows / 4, everySeconds: 4 / rowsPerSecond }
const sourcesMax = 10_000
const summarySeconds = 60
/** So many may wait for a database that is away; the rest is only counted. */
const waitingMax = 2000

export interface AuditTrailOptions {
  readonly db: Database
  readonly clock: Clock
  /** How long entries are kept. */
  readonly auditSeconds: number
}

/**
 * Opens the trail. Its jobs write what is due, while what cannot be written waits, and delete what is old.
 */
export function openAuditTrail({ db, clock, auditSeconds }: AuditTrailOptions): {
  readonly audit: AuditTrail
  readonly jobs: readonly Job[]
  readonly metrics: readonly Metric[]
} {
  const rows = new Map<string, NewAuditEntry>()
  const counts = new Map<string, NewAuditEntry>()
  let allowance = { rows: burstRows, at: clock.now() }
  const sources = openBuckets(clock, sourcesMax)
  let summaryAt = clock.now()

  const mayAdd = (source: string | undefined) => {
    if (source !== undefined && secondsToWait(sources.fillOf(source, ofSource), ofSource) > 0) return false
    const time = clock.now()
    const refilled = allowance.rows + Math.max(0, time - allowance.at) * rowsPerSecond
    allowance = { rows: Math.min(burstRows, refilled), at: time }
    if (allowance.rows < 1 || rows.size >= waitingMax) return false
    allowance.rows--
    if (source !== undefined) sources.fill(source, ofSource)
    return true
  }
  const write = async (from: Map<string, NewAuditEntry>) => {
    if (from.size === 0) return
    const entries = [...from]
    await insertAuditEntries(
      db,
      entries.map(([, entry]) => entry),
    )
    // Entries that were added to them since belong to the next ones.
    for (const [key, entry] of entries) {
      const left = (from.get(key)?.count ?? 0) - entry.count
      if (left > 0) from.set(key, { ...entry, count: left })
      else from.delete(key)
    }
  }
  const flushCounts = async () => {
    await write(counts)
    summaryAt = clock.now()
  }

  const audit: AuditTrail = {
    note: (entry, source) => {
      const { at, request_id, ...same } = entry
      const key = JSON.stringify(same)
      if (addTo(rows, key, entry)) return
      if (mayAdd(source)) {
        rows.set(key, entry)
        return
      }
      const { event, actor, client_id } = entry
      const summary = { ...summaryOf(entry), detail: JSON.stringify({ counted_since: at }) }
      const summaryKey = JSON.stringify([event, actor, client_id])
      if (!addTo(counts, summaryKey, summary)) counts.set(summaryKey, summary)
    },
    waiting: () => rows.size + counts.size,
  }
  return {
    audit,
    jobs: [
      {
        name: 'writing the audit trail',
        everySeconds: tellSeconds,
        run: async () => {
          await write(rows)
          // Also when the clock was set back.
          if (Math.abs(clock.now() - summaryAt) >= summarySeconds) await flushCounts()
        },
        last: async () => {
          await write(rows)
          await flushCounts()
        },
      },
      {
        name: 'forgetting old entries of the audit trail',
        everySeconds: forgetSeconds,
        run: signal => forgetOld({ db, clock, auditSeconds }, signal),
      },
    ],
    metrics: [queueLength('audit_entry', audit.waiting)],
  }
}

/** Counts an entry into the one that says the same; false when there is none. */
function addTo(entries: Map<string, NewAuditEntry>, key: string, { at, count }: NewAuditEntry): boolean {
  const same = entries.get(key)
  if (same) entries.set(key, { ...same, at, count: same.count + count })
  return same !== undefined
}

function summaryOf(entry: NewAuditEntry): NewAuditEntry {
  return { ...entry, user_id: null, session_id: null, address: null, request_id: null }
}

/** Few enough at once that nothing waits long for them, and together more than can be added in a minute. */
const rowsAtOnce = 500
const roundsMax = 40

async function forgetOld({ db, clock, auditSeconds }: AuditTrailOptions, signal: AbortSignal): Promise<void> {
  const before = clock.now() - auditSeconds
  for (let round = 0; round < roundsMax && !signal.aborted; round++) {
    if ((await deleteAuditEntries(db, { before, limit: rowsAtOnce })) < rowsAtOnce) return
    await clock.pause(0.05)
  }
}
