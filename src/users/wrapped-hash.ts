import type { UserTable } from '../../db/schema.ts'
import { unavailable } from '../errors.ts'
import type { RootKeys } from '../keys/root/root-key.ts'

/*
 * A hash that another system has made, sealed under the root key: who has the database alone cannot guess
 * from it, as from none of our own.
 */

type PasswordHash = Pick<UserTable, 'password_hash' | 'root_key_id'>

/** What it is sealed for. */
const purpose = 'imported password hash'

/** The index of such users is by it. */
const prefix = '$imported$'

export function isWrapped({ password_hash }: Pick<UserTable, 'password_hash'>): boolean {
  return password_hash.startsWith(prefix)
}

export function wrap(rootKeys: Pick<RootKeys, 'seal'>, hash: string): PasswordHash {
  const { sealed, rootKeyId } = rootKeys.seal(purpose, '', Buffer.from(hash))
  return { password_hash: prefix + sealed.toString('base64url'), root_key_id: rootKeyId }
}

/** The hash as it was; 503 where its root key is not loaded. */
export function openWrapped(
  rootKeys: Pick<RootKeys, 'open'>,
  { password_hash, root_key_id }: PasswordHash,
): string {
  const sealed = Buffer.from(password_hash.slice(prefix.length), 'base64url')
  const hash = rootKeys.open(purpose, '', root_key_id, sealed)
  if (hash) return hash.toString()
  throw unavailable(new Error(`the root key ${root_key_id}, which a password hash needs, is not loaded`))
}
