/** In seconds. */
export const day = 86_400

const unitSeconds: ReadonlyMap<string, number> = new Map([
  ['', 1],
  ['s', 1],
  ['m', 60],
  ['h', 3600],
  ['d', day],
])

/** `300`, `90s`, `5m`, `12h` or `30d` as whole seconds; undefined for anything else. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d{1,12})([smhd]?)$/.exec(text)
  if (!match) return undefined
  return Number(match[1]) * (unitSeconds.get(match[2] ?? '') ?? 1)
}

/** The shortest exact spelling of a number of seconds, as `parseDuration` reads it. */
export function formatDuration(seconds: number): string {
  for (const [unit, size] of [
    ['d', day],
    ['h', 3600],
    ['m', 60],
  ] as const) {
    if (seconds > 0 && seconds % size === 0) return `${seconds / size}${unit}`
  }
  return `${seconds}s`
}
