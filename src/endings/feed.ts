/** One entry of a feed: it has a number that none had before it. */
interface Numbered {
  readonly seq: number
}

export interface Feed {
  /** Reads all that was committed before the call. */
  readonly read: () => Promise<void>
}

export interface FeedOptions<Entry extends Numbered> {
  /** Reads entries in the order of their numbers, from `from` on. */
  readonly list: (page: { readonly from: number; readonly limit: number }) => Promise<Entry[]>
  readonly isSame: (one: Entry, other: Entry) => boolean
  /** Where reading begins, if not at the beginning: the latest entries. */
  readonly listLatest?: () => Promise<readonly Entry[]>
  /** Told of each entry. */
  readonly onEntry: (entry: Entry) => void
  /**
   * Told afterwards of those that were added since the first reading. Where it fails, they are read again.
   */
  readonly onNews?: (entries: readonly Entry[]) => Promise<void>
  /** The feed is not the one that was read so far: it is read again from where reading begins. */
  readonly onRestart: () => void
}

const pageSize = 1000

/**
 * Follows a feed in the order of its numbers, which is that of the commits: a number is given out under a
 * lock that is held until the commit, so none is passed over.
 *
 * The last entry read must still be there, and be the same. A database that has gone back in time (a standby
 * that had not received everything) gives the same numbers to others.
 */
export function openFeed<Entry extends Numbered>({
  list,
  isSame,
  listLatest,
  onEntry,
  onNews = async () => {},
  onRestart,
}: FeedOptions<Entry>): Feed {
  let last: Entry | undefined
  let isHistory = true
  let reading: Promise<void> | undefined
  let next: Promise<void> | undefined

  const isStillThere = (first: Entry | undefined, before: Entry) =>
    first !== undefined && first.seq === before.seq && isSame(first, before)

  const readNew = async () => {
    if (listLatest && isHistory) {
      const latest = await listLatest()
      latest.forEach(onEntry)
      last = latest.at(-1)
      isHistory = false
      return
    }
    for (;;) {
      const page = await list({ from: last?.seq ?? 0, limit: pageSize })
      if (last && !isStillThere(page.shift(), last)) {
        last = undefined
        isHistory = true
        onRestart()
        if (listLatest) return readNew()
        continue
      }
      page.forEach(onEntry)
      if (!isHistory && page.length > 0) await onNews(page)
      last = page.at(-1) ?? last
      if (page.length >= pageSize - 1) continue
      isHistory = false
      return
    }
  }

  const read = (): Promise<void> => {
    if (!reading) {
      reading = readNew().finally(() => {
        reading = undefined
      })
      return reading
    }
    // The reading under way may have missed the latest; callers until its end share the next one.
    next ??= reading
      .catch(() => {}) // its caller hears of it
      .then(() => {
        next = undefined
        return read()
      })
    return next
  }

  return { read }
}
