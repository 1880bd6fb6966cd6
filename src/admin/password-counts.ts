import { countUsersByRootKey } from '../../db/keys/root-keys.ts'
import type { Admin } from './admin.ts'

/** How many passwords are hashed under which root key. */
export interface PasswordCounts {
  readonly current: number
  /** Under another root key, which is in the file. */
  readonly older: number
  /** Under a root key that is not in the file: they cannot be checked. */
  readonly lost: number
}

export async function countPasswords(
  { db, rootKeys }: Pick<Admin, 'db' | 'rootKeys'>,
  currentId: string,
): Promise<PasswordCounts> {
  const counts = { current: 0, older: 0, lost: 0 }
  for (const [id, users] of await countUsersByRootKey(db)) {
    counts[id === currentId ? 'current' : rootKeys.has(id) ? 'older' : 'lost'] += users
  }
  return counts
}
