import { Refusal } from '../errors.ts'
import { formatUuid, parseUuid } from '../protocol/secrets.ts'
import { sha256 } from '../values/sha256.ts'

/**
 * The cursor of a list: where its next page begins, along an index; null after the last. It is of no use for
 * another list, or with other filters.
 */
export function writeCursor(list: string, filter: object, key: string | undefined): string | null {
  if (key === undefined) return null
  return Buffer.from(JSON.stringify([nameOf(list, filter), key])).toString('base64url')
}

/** Where a page begins; undefined for the first. Refuses what is no cursor of this list. */
export function readCursor(list: string, filter: object, cursor: string | undefined): string | undefined {
  if (cursor === undefined) return undefined
  try {
    const [name, key] = JSON.parse(Buffer.from(cursor, 'base64url').toString()) as readonly unknown[]
    if (name === nameOf(list, filter) && typeof key === 'string' && !key.includes('\0')) return key
  } catch {
    // It is nothing that was made here.
  }
  throw noCursor()
}

/** The cursor of a list along ids; null after the last. */
export function writeIdCursor(list: string, filter: object, id: Buffer | undefined): string | null {
  return writeCursor(list, filter, id && formatUuid(id))
}

/** The id after which a page begins; undefined for the first. */
export function readIdCursor(list: string, filter: object, cursor: string | undefined): Buffer | undefined {
  const key = readCursor(list, filter, cursor)
  if (key === undefined) return undefined
  const id = parseUuid(key)
  if (!id) throw noCursor()
  return id
}

export const noCursor = () =>
  new Refusal(
    'invalid',
    'after is no cursor of this list with these filters: it is `next` of the page before',
    undefined,
    'after',
  )

function nameOf(list: string, filter: object): string {
  return sha256(JSON.stringify([list, filter]))
    .toString('base64url')
    .slice(0, 11)
}
