import { existsSync } from 'node:fs'
import type { Database } from '../../../db/database.ts'
import { schemaStatus } from '../../../db/installation/migrate.ts'
import type { HeldName } from '../../../db/installation/names-alike.ts'
import { openDatabase } from '../../../db/open-database.ts'
import { comparedName } from '../../../db/users/compared-name.ts'
import { listUnnamed, listNames } from '../../../db/users/user-names.ts'
import { findUser } from '../../../db/users/users.ts'
import type { Config } from '../../config/load.ts'
import { describeHeld, nameAdvice } from '../../installation/names-alike.ts'
import { databaseOptions } from '../../installation/open.ts'
import { printable } from '../../values/formats.ts'
import { sha256 } from '../../values/sha256.ts'
import type { Admin } from '../admin.ts'
import type { Finding } from './finding.ts'

/** So many are named. */
const namedMax = 50

/** Users whom an older version beside this one has added: of their names it knows no other spelling. */
export async function checkUsernames({ db }: Admin): Promise<Finding[]> {
  const [late, alike]: [string[], string[]] = [[], []]
  for await (const { id, username } of listUnnamed(db)) {
    // In the form in which it is compared, which is exactly the name of few.
    const holder = await findUser(db, comparedName(username))
    if (!holder || holder.id.equals(id)) late.push(printable(username))
    else alike.push(`${printable(username)} and ${printable(holder.username)}`)
  }
  const findings: Finding[] = []
  if (late.length > 0) {
    findings.push({
      verdict: 'warning',
      text: `users whom an older version has added are found by exactly their names alone: ${some(late)}`,
      advice: 'once no older version serves, `mintmark db migrate` notes their names',
    })
  }
  if (alike.length > 0) {
    findings.push({
      verdict: 'warning',
      text: `users whom an older version has added have a name that is another's: ${some(alike)}`,
      advice: '`mintmark user rename OLD NEW` gives one of them another name',
    })
  }
  return findings
}

function some(texts: readonly string[]): string {
  const more =
    texts.length > namedMax ? [`and ${(texts.length - namedMax).toLocaleString('en-US')} more`] : []
  return [...texts.slice(0, namedMax), ...more].join('; ')
}

/**
 * What the migration that compares names would refuse, where the database is older than that. Whether it can
 * be opened at all, another check says.
 */
export async function checkNamesToCome(config: Config): Promise<Finding[]> {
  const { databaseUrl } = config
  if (databaseUrl.engine === 'sqlite' && !existsSync(databaseUrl.file)) return []
  const db = openDatabase(databaseUrl, { ...databaseOptions(config), isPatient: true })
  try {
    const { applied, pending } = await schemaStatus(db).catch(() => ({ applied: [], pending: [] }))
    const isToCome = applied.length > 0 && pending.some(name => name === '0003-factors')
    const alike = isToCome ? (await namesAlike(db)).map(names => names.join(' and ')) : []
    if (alike.length === 0) return []
    return [
      {
        verdict: 'problem',
        text: `names of different users are one name from this version on: ${some(alike)}`,
        advice: nameAdvice,
      },
    ]
  } finally {
    await db.close()
  }
}

/** 16 MiB of bits: of a million names a few thousand fall on the same by chance. */
const bits = 2 ** 27

/**
 * The names that are equal when they are compared, in the order of the first of each. However many users
 * there are, only those are kept whose compared names fall on the same bit; a second walk tells chance from
 * them.
 */
export async function namesAlike(db: Database): Promise<readonly (readonly string[])[]> {
  const seen = new Uint8Array(bits / 8)
  const twice = new Set<number>()
  for await (const { name } of listNames(db)) {
    const bit = bitOf(name)
    const mask = 1 << (bit & 7)
    const byte = seen[bit >>> 3] ?? 0
    if ((byte & mask) !== 0) twice.add(bit)
    seen[bit >>> 3] = byte | mask
  }
  if (twice.size === 0) return []
  const held = new Map<string, HeldName[]>()
  for await (const { name, ...holder } of listNames(db)) {
    if (twice.has(bitOf(name))) held.set(name, [...(held.get(name) ?? []), holder])
  }
  return [...held.values()].filter(alike => alike.length > 1).map(alike => alike.map(describeHeld))
}

function bitOf(name: string): number {
  return sha256(name).readUInt32BE() % bits
}
