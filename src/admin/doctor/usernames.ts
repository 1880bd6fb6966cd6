import type { Database } from '../../../db/database.ts'
import { listUsernames } from '../../../db/users/users.ts'
import type { Admin } from '../admin.ts'
import { usernameCaseMapped } from '../../protocol/username.ts'
import { printable } from '../../values/formats.ts'
import { sha256 } from '../../values/sha256.ts'
import type { Finding } from './finding.ts'

/** So many are named. */
const namedMax = 50

/** User names that look like one, and are two people. */
export async function checkUsernames({ db }: Admin): Promise<Finding[]> {
  const alike = await namesAlike(db)
  if (alike.length === 0) return []
  const named = alike.slice(0, namedMax).map(names => names.map(name => printable(name)).join(' and '))
  const more =
    alike.length > namedMax ? [`and ${(alike.length - namedMax).toLocaleString('en-US')} more`] : []
  return [
    {
      verdict: 'warning',
      text: `users whose names differ in case or width alone are different people: ${[...named, ...more].join('; ')}`,
      advice:
        'decide whose name it is before a later version takes each of these for one name (RFC 8265): ' +
        '`mintmark user delete NAME` removes the other',
    },
  ]
}

/** 16 MiB of bits: of a million names a few thousand fall on the same by chance. */
const bits = 2 ** 27

/**
 * The names that are equal when they are mapped, in the order of the first of each. However many users there
 * are, only those are kept whose mapped names fall on the same bit; a second walk tells chance from them.
 */
export async function namesAlike(db: Database): Promise<readonly (readonly string[])[]> {
  const seen = new Uint8Array(bits / 8)
  const twice = new Set<number>()
  for await (const name of listUsernames(db)) {
    const bit = bitOf(usernameCaseMapped(name))
    const mask = 1 << (bit & 7)
    const byte = seen[bit >>> 3] ?? 0
    if ((byte & mask) !== 0) twice.add(bit)
    seen[bit >>> 3] = byte | mask
  }
  if (twice.size === 0) return []
  const names = new Map<string, string[]>()
  for await (const name of listUsernames(db)) {
    const mapped = usernameCaseMapped(name)
    if (twice.has(bitOf(mapped))) names.set(mapped, [...(names.get(mapped) ?? []), name])
  }
  return [...names.values()].filter(alike => alike.length > 1)
}

function bitOf(mapped: string): number {
  return sha256(mapped).readUInt32BE() % bits
}
