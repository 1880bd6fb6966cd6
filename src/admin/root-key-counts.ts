import { countTotpsByRootKey, countUsersByRootKey } from '../../db/keys/root-keys.ts'
import type { Admin } from './admin.ts'

/** How many of something need which root key. */
export interface RootKeyCounts {
  readonly current: number
  /** Under another root key, which is in the file. */
  readonly older: number
  /** Under a root key that is not in the file: they cannot be checked. */
  readonly lost: number
}

/** The passwords, by the root key under which they are hashed. */
export async function countPasswords(admin: CountAdmin, currentId: string): Promise<RootKeyCounts> {
  return sum(admin, currentId, await countUsersByRootKey(admin.db))
}

/** The authenticator apps, by the root key under which their secrets are sealed. */
export async function countTotps(admin: CountAdmin, currentId: string): Promise<RootKeyCounts> {
  return sum(admin, currentId, await countTotpsByRootKey(admin.db))
}

type CountAdmin = Pick<Admin, 'db' | 'rootKeys'>

function sum(
  { rootKeys }: CountAdmin,
  currentId: string,
  byRootKey: ReadonlyMap<string, number>,
): RootKeyCounts {
  const counts = { current: 0, older: 0, lost: 0 }
  for (const [id, count] of byRootKey)
    counts[id === currentId ? 'current' : rootKeys.has(id) ? 'older' : 'lost'] += count
  return counts
}
