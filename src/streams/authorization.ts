import type { StreamTable } from '../../db/schema.ts'
import type { RootKeys } from '../keys/root/root-key.ts'

const purpose = 'stream authorization'

type SealedAuthorization = Pick<StreamTable, 'sealed_authorization' | 'root_key_id'>

/** Seals the `Authorization` of pushes for the row of a stream: in no other row it can be opened. */
export function sealAuthorization(
  rootKeys: Pick<RootKeys, 'seal'>,
  streamId: Buffer,
  authorization: string | null,
): SealedAuthorization {
  if (authorization === null) return { sealed_authorization: null, root_key_id: null }
  const { rootKeyId, sealed } = rootKeys.seal(purpose, streamId.toString('hex'), Buffer.from(authorization))
  return { sealed_authorization: sealed, root_key_id: rootKeyId }
}

/** The `Authorization` of a row; null for none. Throws where its root key is not in the file. */
export function openAuthorization(
  rootKeys: Pick<RootKeys, 'open'>,
  { id, sealed_authorization, root_key_id }: SealedAuthorization & Pick<StreamTable, 'id'>,
): string | null {
  if (sealed_authorization === null || root_key_id === null) return null
  const opened = rootKeys.open(purpose, id.toString('hex'), root_key_id, sealed_authorization)
  if (!opened) throw new Error(`the authorization of a stream is sealed under the root key ${root_key_id}`)
  return opened.toString()
}
