/** JSON of others is nested no deeper: what walks it, or writes it again, calls itself at each level. */
const levelsMax = 50

/** Parses a text that somebody else has written. Throws a `SyntaxError`, also where it is nested too deep. */
export function parseJson(text: string): unknown {
  const value: unknown = JSON.parse(text)
  if (isTooDeep(value)) throw new SyntaxError('it is nested too deep')
  return value
}

export function isTooDeep(value: unknown, levels = levelsMax): boolean {
  if (typeof value !== 'object' || value === null) return false
  return levels === 0 || Object.values(value).some(member => isTooDeep(member, levels - 1))
}

/** Whether a value is an array of texts. */
export function areTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every(item => typeof item === 'string')
}

/** Whether a value is a JSON object: no array, and not null. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
