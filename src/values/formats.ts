/** Quotes control characters: the text of a damaged row may be anything, also commands to a terminal. */
export function printable(text: string): string {
  return JSON.stringify(text).slice(1, -1)
}

/** `2026-03-09 17:05:30Z`; nothing for no time. */
export function formatTime(epochSeconds: number | null): string {
  return epochSeconds === null
    ? ''
    : new Date(epochSeconds * 1000).toISOString().replace('T', ' ').replace('.000Z', 'Z')
}

/** `2026-03-09T17:05:30Z` (RFC 3339). */
export function timeText(epochSeconds: number): string {
  return `${new Date(epochSeconds * 1000).toISOString().slice(0, -5)}Z`
}

/** `512 B`, `1.4 MB`. */
export function formatBytes(bytes: number): string {
  const format = new Intl.NumberFormat('en-US', { maximumSignificantDigits: 3 })
  let rest = bytes
  for (const unit of ['B', 'kB', 'MB', 'GB']) {
    if (rest < 1000) return `${format.format(rest)} ${unit}`
    rest /= 1000
  }
  return `${format.format(rest)} TB`
}

/** `1 session`, `2 sessions`. */
export function formatCount(count: number, noun: string): string {
  return `${count.toLocaleString('en-US')} ${noun}${count === 1 ? '' : 's'}`
}
