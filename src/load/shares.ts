/** Places that sources share: until half are taken no source is limited, from then on each to a tenth. */
export interface Shares {
  /**
   * Takes a place, unless the source has its share. One that is not told (undefined) is limited by nothing
   * here.
   */
  take(source: string | undefined): boolean
  giveBack(source: string | undefined): void
  /** Whether the source could take a place. */
  isOpen(source: string | undefined): boolean
  /** How many places are taken, by one source or by all. */
  taken(source?: string): number
}

const sourceShare = 0.1

export function openShares(max: number): Shares {
  const bySource = new Map<string, number>()
  let taken = 0

  const of = (source: string) => bySource.get(source) ?? 0
  const isOpen = (source: string | undefined) =>
    source === undefined || taken < max / 2 || of(source) < Math.max(1, Math.floor(max * sourceShare))
  return {
    isOpen,
    take: source => {
      if (!isOpen(source)) return false
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
