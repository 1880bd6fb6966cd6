/**
 * Protects all other sources from one that would take every place: for a connection, for a request, or in the
 * queue of passwords. Until half of the places are taken no source is limited; from then on each has a tenth
 * at most. The caller refuses: a connection is closed, a request is answered 503 with Retry-After.
 */

/** How many of a number of places each source has. */
export interface SourceQuota {
  /**
   * Takes a place, unless the source has as many as it may. One that is not told (undefined) is limited by
   * nothing here.
   */
  take(source: string | undefined): boolean
  giveBack(source: string | undefined): void
  /** Whether the source could take a place. */
  hasRoomFor(source: string | undefined): boolean
  /** How many places are taken, by one source or by all. */
  taken(source?: string): number
}

const sourceFraction = 0.1

export function openSourceQuota(places: number): SourceQuota {
  const bySource = new Map<string, number>()
  let taken = 0

  const of = (source: string) => bySource.get(source) ?? 0
  const hasRoomFor = (source: string | undefined) =>
    source === undefined ||
    taken < places / 2 ||
    of(source) < Math.max(1, Math.floor(places * sourceFraction))
  return {
    hasRoomFor,
    take: source => {
      if (!hasRoomFor(source)) return false
      taken++
      if (source !== undefined) bySource.set(source, of(source) + 1)
      return true
    },
    giveBack: source => {
      taken--
      if (source === undefined) return
      const left = of(source) - 1
      if (left > 0) bySource.set(source, left)
      else bySource.delete(source)
    },
    taken: source => (source === undefined ? taken : of(source)),
  }
}
