/**
 * A name as its relative names, the most general first; each is its `type=value` pairs in order, with the
 * type in lower case and nothing escaped. Two names are the same when these texts are.
 */
export type DistinguishedName = readonly string[]

/** Types under another name, as OpenSSL writes them. */
const types: ReadonlyMap<string, string> = new Map([
  ['2.5.4.3', 'cn'],
  ['2.5.4.5', 'serialnumber'],
  ['2.5.4.6', 'c'],
  ['2.5.4.7', 'l'],
  ['2.5.4.8', 'st'],
  ['2.5.4.9', 'street'],
  ['2.5.4.10', 'o'],
  ['2.5.4.11', 'ou'],
  ['0.9.2342.19200300.100.1.1', 'uid'],
  ['0.9.2342.19200300.100.1.25', 'dc'],
  ['1.2.840.113549.1.9.1', 'emailaddress'],
  ['e', 'emailaddress'],
])

/**
 * Reads a name as RFC 4514 writes it: `CN=app,O=Example\, Inc.,C=DE`, the most special first. Undefined for
 * any other text. Values count letter by letter, in their case too.
 */
export function parseDistinguishedName(text: string): DistinguishedName | undefined {
  const name = split(text, ',').map(readRelativeName).reverse()
  return name.every(part => part !== undefined) ? name : undefined
}

/**
 * Reads a name as Node.js gives that of a certificate: with a line for each relative name, the most general
 * first.
 */
export function parseCertificateName(text: string): DistinguishedName | undefined {
  const name = text.split('\n').map(readRelativeName)
  return name.every(part => part !== undefined) ? name : undefined
}

export function isSameName(a: DistinguishedName, b: DistinguishedName): boolean {
  return a.length === b.length && a.every((part, i) => part === b[i])
}

function readRelativeName(text: string): string | undefined {
  const pairs: string[] = []
  for (const pair of split(text, '+')) {
    const [, type, value] = /^ *([A-Za-z][A-Za-z0-9-]*|\d+(?:\.\d+)+) *=(.*)$/s.exec(pair) ?? []
    const plain = unescapeValue(value ?? '')
    if (type === undefined || plain === undefined || plain === '') return undefined
    const name = type.toLowerCase()
    pairs.push(JSON.stringify([types.get(name) ?? name, plain]))
  }
  return pairs.sort().join('+')
}

/** Cuts at each separator that is not escaped. */
function split(text: string, separator: string): string[] {
  const parts = ['']
  for (const [piece] of text.matchAll(/\\[^]|[^]/g)) {
    if (piece === separator) parts.push('')
    else parts[parts.length - 1] += piece
  }
  return parts
}

/**
 * A value without its escapes (RFC 4514 §2.4) and the spaces around it; undefined when it is malformed or in
 * hex.
 */
function unescapeValue(value: string): string | undefined {
  const pieces = [...value.matchAll(/(?:\\[0-9a-fA-F]{2})+|\\[^]|[^]/g)].map(([piece]) => piece)
  while (pieces[0] === ' ') pieces.shift()
  while (pieces.at(-1) === ' ') pieces.pop()
  if (pieces[0] === '#' || pieces.some(piece => /^["<>;\\]$/.test(piece))) return undefined
  return pieces.map(plain).join('')
}

function plain(piece: string): string {
  if (piece.length === 1) return piece
  return piece.length === 2 ? piece.slice(1) : Buffer.from(piece.replaceAll('\\', ''), 'hex').toString()
}
