import type { Database } from '../../db/database.ts'
import {
  auditEntriesFrom,
  firstAuditPlaceSince,
  hasAuditPlace,
  haveEnded,
  lastAuditPlace,
  nextTransaction,
} from '../../db/installation/audit-following.ts'
import type { AuditPlace, ListedAuditEntry } from '../../db/installation/audit.ts'
import type { Clock } from '../clock.ts'

/**
 * Follows the audit trail in the order of its ids, with one read for however many entries there are. On
 * PostgreSQL a transaction may become visible after another one whose ids are larger: so nothing beyond a gap
 * is told until it is filled, or all transactions have ended that might fill it.
 */
export interface AuditFollower {
  /** All up to it are told. */
  place(): AuditPlace
  /** The next ones, at most a page of them: none twice, and none left out. */
  read(): Promise<readonly ListedAuditEntry[]>
}

export const auditPageSize = 1000

/** A place before all others. */
export const beginning: AuditPlace = { at: 0, id: 0 }

/** A transaction that takes longer than that, while it has such an id, is not waited for. */
const gapSecondsMax = 60

/** How long transactions are waited for that are under way at the start. */
const startPauseSeconds = 0.05
const startRoundsMax = 40

/** Follows from now on. */
export async function followAuditTrail(
  db: Database,
  clock: Pick<Clock, 'steady' | 'pause'>,
): Promise<AuditFollower> {
  let place = (await lastAuditPlace(db)) ?? beginning
  await waitForOthers(db, clock)
  const gaps = openGaps(db, clock)
  return {
    place: () => place,
    read: async () => {
      const settledUpTo = await gaps.settle()
      const entries = await entriesAfter(db, place)
      if (entries === undefined) {
        place = await locate(db, place)
        return []
      }
      const told: ListedAuditEntry[] = []
      for (const entry of entries) {
        if (db.engine === 'postgres' && entry.id !== place.id + 1 && entry.id > settledUpTo) {
          gaps.note(entries.at(-1)?.id ?? entry.id)
          break
        }
        told.push(entry)
        place = { at: entry.at, id: entry.id }
      }
      return told
    },
  }
}

/**
 * Where to go on after an entry that was told once, maybe by another server: behind it; or, where it is not
 * there any more, since it is old or a backup was put back, at what is as old.
 */
export async function locate(db: Database, after: AuditPlace): Promise<AuditPlace> {
  if (await hasAuditPlace(db, after)) return after
  const first = await firstAuditPlaceSince(db, after.at)
  if (first) return { at: 0, id: first.id - 1 }
  return (await lastAuditPlace(db)) ?? beginning
}

/** The next page; undefined where the entry of this place is gone, so that ids may mean others. */
async function entriesAfter(
  db: Database,
  { at, id }: AuditPlace,
): Promise<readonly ListedAuditEntry[] | undefined> {
  if (at === 0) return auditEntriesFrom(db, id + 1, auditPageSize)
  const [own, ...entries] = await auditEntriesFrom(db, id, auditPageSize + 1)
  return own?.id === id && own.at === at ? entries : undefined
}

/** An entry of before the place may be in a transaction under way: then it is none of the next ones. */
async function waitForOthers(db: Database, clock: Pick<Clock, 'pause'>): Promise<void> {
  if (db.engine === 'sqlite') return // one writes at a time
  const next = await nextTransaction(db)
  for (let round = 0; round < startRoundsMax && !(await haveEnded(db, next)); round++)
    await clock.pause(startPauseSeconds)
}

interface Gaps {
  /** Up to which id all are there that will ever be. */
  settle(): Promise<number>
  /** Ids up to this one are missing. */
  note(upTo: number): void
}

function openGaps(db: Database, clock: Pick<Clock, 'steady'>): Gaps {
  let gap: { readonly upTo: number; readonly seenAt: number; before: string | undefined } | undefined
  return {
    settle: async () => {
      if (!gap) return 0
      const { upTo, seenAt, before } = gap
      if (clock.steady() - seenAt < gapSecondsMax) {
        if (before === undefined) {
          // Not at once: an id is taken a moment before its transaction has a number.
          gap.before = await nextTransaction(db)
          return 0
        }
        if (!(await haveEnded(db, before))) return 0
      }
      gap = undefined
      return upTo
    },
    note: upTo => {
      gap ??= { upTo, seenAt: clock.steady(), before: undefined }
    },
  }
}
