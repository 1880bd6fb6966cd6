/**
 * So many beyond a bound are looked at, the newest first: expired ones are among them until the sweeper comes
 * by.
 */
export const lookedAtMore = 1000

interface Row {
  readonly id: Buffer
  readonly used_at: number
  readonly expires_at: number
}

/**
 * Those beyond the bound that were unused for longest, of those that have not expired by `now`; never the one
 * of this `id`, which was just added, and no more than `endedMax`. Times are in seconds since the epoch.
 */
export function unusedForLongest(
  rows: readonly Row[],
  { id, now, max, endedMax }: { id: Buffer; now: number; max: number; endedMax: number },
): readonly Buffer[] {
  const living = rows.filter(row => row.expires_at > now)
  const surplus = living.length - max
  if (surplus <= 0) return []
  return living
    .filter(row => !row.id.equals(id))
    .sort((a, b) => a.used_at - b.used_at || a.id.compare(b.id))
    .slice(0, Math.min(surplus, endedMax))
    .map(row => row.id)
}
