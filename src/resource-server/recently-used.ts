/**
 * A map that forgets what was not used for the longest time, so that it never has more than `max` entries.
 */
export interface RecentlyUsedMap<Value> {
  get(key: string): Value | undefined
  set(key: string, value: Value): void
  delete(key: string): void
}

export function recentlyUsedMap<Value>(max: number): RecentlyUsedMap<Value> {
  // A Map keeps the order in which entries were set.
  const entries = new Map<string, Value>()
  return {
    get: key => {
      const value = entries.get(key)
      if (value === undefined) return undefined
      entries.delete(key)
      entries.set(key, value)
      return value
    },
    set: (key, value) => {
      entries.delete(key)
      entries.set(key, value)
      const [oldest] = entries.keys()
      if (entries.size > max && oldest !== undefined) entries.delete(oldest)
    },
    delete: key => void entries.delete(key),
  }
}
