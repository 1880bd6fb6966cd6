import { hmacSha256 } from '../values/sha256.ts'

/**
 * Where a user has logged in from lately: for each source a keyed hash (12 bytes) and the day (4 bytes, since
 * the epoch), the newest first. So neither the table grows, nor does it tell anybody where its users have
 * been.
 */
const entryBytes = 16
const hashBytes = 12
const sourcesMax = 8

/** A source without a log-in for so many days is not known any more. */
const daysMax = 90
const daySeconds = 86_400

/** `keys`: those of all root keys there are, the current one first. */
export function isKnownSource(
  known: Buffer | null,
  { source, keys, now }: { readonly source: string; readonly keys: readonly Buffer[]; readonly now: number },
): boolean {
  const hashes = keys.map(key => hashOf(source, key))
  return entriesOf(known).some(entry => isFresh(entry, now) && hashes.some(hash => isOf(entry, hash)))
}

/** The known sources after a log-in; undefined when they are as before: then there is nothing to write. */
export function learnSource(
  known: Buffer | null,
  { source, key, now }: { readonly source: string; readonly key: Buffer; readonly now: number },
): Buffer | undefined {
  const entries = entriesOf(known).filter(entry => isFresh(entry, now))
  const today = Math.floor(now / daySeconds)
  const hash = hashOf(source, key)
  // A source that has a place among the first half keeps it for today.
  const place = entries.findIndex(entry => isOf(entry, hash))
  if (place >= 0 && place < sourcesMax / 2 && entries[place]?.readUInt32BE(hashBytes) === today)
    return undefined
  const entry = Buffer.alloc(entryBytes)
  hash.copy(entry)
  entry.writeUInt32BE(today, hashBytes)
  const others = entries.filter(other => !isOf(other, hash))
  return Buffer.concat([entry, ...others].slice(0, sourcesMax))
}

function entriesOf(known: Buffer | null): Buffer[] {
  const entries: Buffer[] = []
  for (let at = 0; known && at + entryBytes <= known.length; at += entryBytes) {
    entries.push(known.subarray(at, at + entryBytes))
  }
  return entries
}

function isFresh(entry: Buffer, now: number): boolean {
  return (entry.readUInt32BE(hashBytes) + daysMax) * daySeconds >= now
}

function isOf(entry: Buffer, hash: Buffer): boolean {
  return entry.subarray(0, hashBytes).equals(hash)
}

function hashOf(source: string, key: Buffer): Buffer {
  return hmacSha256(key, source).subarray(0, hashBytes)
}
