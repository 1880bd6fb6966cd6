import type { Database } from '../../db/database.ts'
import { sampleHashes } from '../../db/users/imports.ts'
import type { RootKeys } from '../keys/root/root-key.ts'
import type { Job } from '../upkeep/job.ts'
import { hmacSha256 } from '../values/sha256.ts'
import { isWrapped } from './wrapped-hash.ts'
import type { PasswordHash } from './passwords.ts'

/**
 * A password that another system has hashed is known by the time that a wrong guess takes. So an unknown name
 * takes the time of some user: among unknown names there are as many of each kind as among users, and each
 * name is always of the same kind.
 */
export interface ImportedSample {
  /**
   * The hash that is verified for a guess at an unknown name, as names are compared: as it is stored, so that
   * it is opened and read as often. Undefined for one of our own.
   */
  readonly likenessOf: (name: string) => PasswordHash | undefined
}

/** How often the users are looked at: a change of their kinds takes many log-ins. */
const everySeconds = 600

export function openImportedSample({
  db,
  rootKeys,
}: {
  readonly db: Database
  readonly rootKeys: Pick<RootKeys, 'has' | 'pepperOf' | 'currentId'>
}): { readonly sample: ImportedSample; readonly jobs: readonly Job[] } {
  let hashes: readonly PasswordHash[] = []
  const run = async () => {
    hashes = (await sampleHashes(db)).filter(user => rootKeys.has(user.root_key_id))
  }
  const likenessOf = (name: string) => {
    const pepper = rootKeys.pepperOf(rootKeys.currentId)
    if (hashes.length === 0 || !pepper) return undefined
    const hash = hashes[hmacSha256(pepper, name).readUInt32BE(0) % hashes.length]
    return hash && isWrapped(hash) ? hash : undefined
  }
  return { sample: { likenessOf }, jobs: [{ name: 'looking at imported passwords', everySeconds, run }] }
}
