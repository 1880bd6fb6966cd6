/** A fetched value, and how long it is good for. Times are milliseconds since the epoch. */
export interface Fetched<Value> {
  readonly value: Value
  /** From then on a newer one is fetched, while this one is still used. */
  readonly dueAt: number
  /** From then on callers wait for the newer one. If there is none to be had, this one is used on. */
  readonly waitAt: number
  /** From then on it is not used any more. */
  readonly endAt: number
}

/** Something that lies elsewhere, and is kept here. */
export interface Kept<Value> {
  /** The value; rejects with what `read` rejected with when there is none that may be used. */
  get(): Promise<Value>
  /** A newer value, or at least an attempt. */
  renew(): Promise<Value>
}

export interface KeepOptions<Value> {
  /** Fetches the value; is told the one before. */
  readonly read: (before: Value | undefined) => Promise<Fetched<Value>>
  readonly now: () => number
  /** Told when the value has ended, and no caller has asked for it lately. */
  readonly onUnused?: () => void
}

/** After a failure it is tried again after one second, then two, and so on up to this. */
const retryMillisecondsMax = 30_000

/** A timer cannot wait longer. */
const timerMax = 2 ** 31 - 1

/**
 * Keeps a value fresh: while it is used, a newer one is fetched in the background before this one is due. An
 * unused value is not fetched. The timers do not keep the process alive, and there is nothing to close.
 */
export function keep<Value>({ read, now, onUnused }: KeepOptions<Value>): Kept<Value> {
  let kept: Fetched<Value> | undefined
  let reading: Promise<Value> | undefined
  let failures = 0
  let lastError: unknown
  let retryAt = -Infinity
  let isUsed = false
  let timer: NodeJS.Timeout | undefined

  const readOnce = async (): Promise<Value> => {
    try {
      kept = await read(kept?.value)
      failures = 0
      retryAt = -Infinity
      return kept.value
    } catch (error) {
      lastError = error
      retryAt = now() + Math.min(retryMillisecondsMax, 1000 * 2 ** failures++)
      throw error
    } finally {
      reading = undefined
      wakeAt(failures > 0 ? retryAt : (kept?.dueAt ?? 0))
    }
  }
  const renew = (): Promise<Value> => (reading ??= readOnce())
  const renewInBackground = () => void renew().catch(() => {}) // the next caller hears of it

  const wakeAt = (time: number) => {
    clearTimeout(timer)
    timer = setTimeout(wake, Math.min(timerMax, Math.max(0, time - now())))
    timer.unref()
  }
  const wake = () => {
    if (isUsed) {
      isUsed = false
      renewInBackground()
    } else if (kept && now() < kept.endAt) {
      wakeAt(kept.endAt)
    } else {
      onUnused?.()
    }
  }

  return {
    renew,
    get: async () => {
      isUsed = true
      const at = now()
      const mayTry = reading !== undefined || at >= retryAt
      // While no server answers, no caller waits: an old one does as long as it may.
      const isFine = kept && (at < kept.waitAt || (failures > 0 && at < kept.endAt))
      if (kept && isFine) {
        if (at >= kept.dueAt && mayTry) renewInBackground()
        return kept.value
      }
      if (mayTry) await renew().catch(() => {}) // an old one may do, below
      if (kept && now() < kept.endAt) return kept.value
      throw lastError
    },
  }
}
