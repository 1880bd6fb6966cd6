import type { Database } from '../../../db/database.ts'
import { findInstallation } from '../../../db/installation/installation.ts'
import {
  changeRootKey,
  listRootKeys,
  type ChooseRootKey,
  type RootKeyChange,
} from '../../../db/keys/root-keys.ts'
import { listSigningKeys, resealSigningKey } from '../../../db/keys/signing-keys.ts'
import { ConfigError } from '../../errors.ts'
import { record, type Recorder } from '../../record/record.ts'
import { phaseOf } from '../ring/key-life.ts'
import { openKey, reseal, type RingKey } from '../ring/signing-key.ts'
import {
  addRootKey,
  newRootKey,
  readRootKeyFile,
  removeRootKey,
  versionOf,
  type RootKeyFile,
} from './root-key-file.ts'
import { unwritableFile, type RootKeys } from './root-key.ts'

export interface RootRotation extends RootKeyChange {
  /** Whether the new key had been put into the file before. */
  readonly wasInFile: boolean
  /** How many signing keys are sealed under the new key now. */
  readonly resealed: number
}

export interface RootRotationOptions {
  readonly by: Recorder
  readonly rootKeys: RootKeys
  readonly file: RootKeyFile
}

/** A database, and the file that has its root keys. */
interface FileOfRootKeys {
  readonly db: Database
  readonly file: RootKeyFile
}

/** The ids of a change, as events name them. */
export function rootKeysOf({ from, to }: RootKeyChange) {
  return { root_key_from: from, root_key_to: to }
}

/**
 * Puts the database under a new root key, while servers run: first the key is in the file, then the database
 * is under it, then what was sealed under the one before is sealed under the new one. Interrupted at any
 * point, it goes on when it is run again. The older keys stay in the file, for passwords and refresh tokens.
 */
export async function rotateRootKey({ by, rootKeys, file }: RootRotationOptions): Promise<RootRotation> {
  const { db, clock } = by
  let wasInFile = false
  const changed = await withNewRootKey({ db, file }, add =>
    record(
      by,
      (change: RootKeyChange) => [{ event: 'root_key_rotated', detail: rootKeysOf(change) }],
      writer =>
        changeRootKey(writer, clock.now(), (currentId, past) => {
          const found = newKeyInFile(file, currentId, past)
          wasInFile = found !== undefined
          return found ?? add()
        }),
    ),
  )
  rootKeys.follow(changed.to)
  const opened: RingKey[] = []
  for (const row of await listSigningKeys(db)) {
    if (phaseOf(row) === 'revoked') continue
    const key = openKey(row, rootKeys)
    if (key.kind === 'open') opened.push(key.key)
  }
  return { ...changed, wasInFile, resealed: (await resealKeys({ db, rootKeys }, opened)).length }
}

/**
 * Chooses a root key for a database whose own may be lost: one that it has never been under, or what `add`
 * adds.
 */
export function replacementRootKey(file: RootKeyFile, add: () => string): ChooseRootKey {
  return (currentId, past) => {
    if (versionOf(file.rootKeyFile) === undefined) return add()
    const [first = ''] = readRootKeyFile(file).keys()
    return first !== currentId && !past.has(first) ? first : add()
  }
}

/**
 * For a change of the database that begins with a new root key in the file: `add` puts one there, once, and
 * returns its id. Where the change is not made, it is taken out again.
 */
export async function withNewRootKey<T>(
  { db, file }: FileOfRootKeys,
  change: (add: () => string) => Promise<T>,
): Promise<T> {
  const made = newRootKey()
  let isAdded = false
  try {
    return await change(() => {
      // The database may undo the change, and ask once more.
      if (!isAdded && addRootKey(file.rootKeyFile, made) === undefined) throw unwritableFile(file)
      isAdded = true
      return made.id
    })
  } catch (error) {
    // Of a commit without an answer only the database can say whether it was made.
    const record = isAdded ? await findInstallation(db).catch(() => undefined) : undefined
    if (record && record.root_key_id !== made.id) removeRootKey(file.rootKeyFile, made)
    throw error
  }
}

/**
 * The first of two steps, for servers that have a file each: a new root key comes into the file here, and is
 * of no use yet. Returns its id; undefined when there is one on the first line already, which the second step
 * takes up.
 */
export async function addForEveryServer(
  { db, file }: FileOfRootKeys,
  currentId: string,
): Promise<string | undefined> {
  const past = (await listRootKeys(db)).filter(row => row.current_until !== null)
  if (newKeyInFile(file, currentId, new Set(past.map(({ id }) => id))) !== undefined) return undefined
  const id = addRootKey(file.rootKeyFile)
  if (id === undefined) throw unwritableFile(file)
  return id
}

/** The first key of the file, if the database has never been under it. */
function newKeyInFile(file: RootKeyFile, currentId: string, past: ReadonlySet<string>): string | undefined {
  const ids = [...readRootKeyFile(file).keys()]
  if (!ids.includes(currentId)) {
    throw new ConfigError(
      `the root key file ${file.rootKeyFile} lacks the current key ${currentId}: add it below the new one`,
    )
  }
  const [first = ''] = ids
  return first === currentId || past.has(first) ? undefined : first
}

/**
 * Seals under the current root key what is sealed under another one; the kids of those that it was done for.
 */
export async function resealKeys(
  { db, rootKeys }: { readonly db: Database; readonly rootKeys: RootKeys },
  keys: Iterable<RingKey>,
): Promise<readonly string[]> {
  const done: string[] = []
  for (const key of keys) {
    if (key.row.root_key_id === rootKeys.currentId) continue
    if (await resealSigningKey(db, key.row, reseal(key, rootKeys))) done.push(key.row.kid)
  }
  return done
}
