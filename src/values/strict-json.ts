/**
 * Reads JSON that means the same to all who read it, and can be kept as it is; undefined for any other text.
 * Refuses what `JSON.parse` takes without a word: a member that is there twice, a number of which a
 * double loses digits, half a surrogate pair, U+0000, `__proto__`, and more nesting than `depthMax`.
 */
export function readStrictJson(text: string, depthMax: number): unknown {
  const value = parse(text)
  if (value === undefined) return undefined
  let [depth, members] = [0, 0]
  for (const [token] of text.matchAll(tokens)) {
    if (token === '{' || token === '[') depth++
    else if (token === '}' || token === ']') depth--
    else if (token === ':') members++
    else if (!token.startsWith('"') && !isExact(token)) return undefined
    if (depth > depthMax) return undefined
  }
  // Of two members with one name the parsed value has one.
  return membersOf(value) === members ? value : undefined
}

/** The parts of JSON that is known to be well-formed, but for `true`, `false`, `null` and commas. */
const tokens = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*|[{}[\]:]/g

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined // it is not JSON
  }
}

/** Whether a double says the same: one holds any 15 digits, and some whole numbers with more. */
function isExact(number: string): boolean {
  const value = Number(number)
  const [mantissa = ''] = number.split(/e/i)
  const digits = mantissa.replace(/[-.]/g, '').replace(/^0+|0+$/g, '')
  if (!Number.isFinite(value) || (value === 0 && digits !== '')) return false
  return digits.length <= 15 || (/^-?\d+$/.test(number) && Number.isSafeInteger(value))
}

/** How many members all objects in it have; not a number where a name or a text cannot be kept. */
function membersOf(value: unknown): number {
  if (typeof value === 'string') return isKept(value) ? 0 : NaN
  if (typeof value !== 'object' || value === null) return 0
  if (Array.isArray(value)) return value.reduce<number>((sum, item) => sum + membersOf(item), 0)
  let sum = 0
  for (const [name, member] of Object.entries(value)) {
    sum += isKept(name) && name !== '__proto__' ? 1 + membersOf(member) : NaN
  }
  return sum
}

/** PostgreSQL keeps neither. */
function isKept(text: string): boolean {
  return text.isWellFormed() && !text.includes('\0')
}

/** The one text of a JSON value, whatever the order of members. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_name, member: unknown) =>
    typeof member === 'object' && member !== null && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).sort(([one], [other]) => (one < other ? -1 : 1)))
      : member,
  )
}
