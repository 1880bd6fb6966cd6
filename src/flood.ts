/** So many different texts are told apart. */
const textsMax = 100

/** Whether this has not been said within the last second: for a log that an outage would flood. */
export function oncePerSecond(): (text: string) => boolean {
  const saidAt = new Map<string, number>()
  return text => {
    const now = performance.now()
    if (now - (saidAt.get(text) ?? -Infinity) < 1000) return false
    if (saidAt.size >= textsMax) saidAt.clear()
    saidAt.set(text, now)
    return true
  }
}
