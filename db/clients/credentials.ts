import { sql as fragment } from 'kysely'
import type { ClientTable } from '../schema.ts'
import type { Writer } from '../writer.ts'
import { changeClient, type SeenClient } from './clients.ts'

/**
 * Gives a client another secret, instead of its secret or of its keys, whichever it has: false when it
 * authenticates in another way than `from`, or is not as it was `seen`. Its present ones stay good until
 * `oldExpiresAt`, or with null end now; older ones that were still kept end in any case.
 */
export async function rotateClientSecret(
  db: Writer,
  id: string,
  {
    from,
    secretHash,
    oldExpiresAt,
    now,
  }: {
    readonly from: 'client_secret' | 'private_key_jwt' | 'federated'
    readonly secretHash: Buffer
    readonly oldExpiresAt: number | null
    readonly now: number
  },
  seen: SeenClient = {},
): Promise<boolean> {
  const keepsKeys = from === 'private_key_jwt' && oldExpiresAt !== null
  const columns = {
    auth_method: 'client_secret',
    secret_hash: secretHash,
    credentials_set_at: now,
    ...(keepsKeys ? { keys_expire_at: oldExpiresAt } : { jwks: null, jwks_uri: null, keys_expire_at: null }),
    ...secretOfBefore(oldExpiresAt),
  } as const
  return changeClient(db, id, columns, { ...seen, auth_method: from })
}

/**
 * Gives a client keys instead of its secret or of the keys that it has: false when it authenticates in
 * another way than `from`, or is not as it was `seen`. A secret stays good until `oldExpiresAt`, or with null
 * ends now; keys end now.
 */
export async function setClientKeys(
  db: Writer,
  id: string,
  {
    from,
    keys,
    oldExpiresAt,
    now,
  }: {
    readonly from: 'client_secret' | 'private_key_jwt' | 'federated' | 'self_signed_tls_client_auth'
    readonly keys: Pick<ClientTable, 'jwks' | 'jwks_uri'>
    readonly oldExpiresAt: number | null
    readonly now: number
  },
  seen: SeenClient = {},
): Promise<boolean> {
  const columns = {
    auth_method: from === 'self_signed_tls_client_auth' ? from : 'private_key_jwt',
    ...keys,
    credentials_set_at: now,
    keys_expire_at: null,
    secret_hash: null,
    ...secretOfBefore(oldExpiresAt),
  } as const
  return changeClient(db, id, columns, { ...seen, auth_method: from })
}

/** The secret that was current until now stays good until then; with null it ends. */
const secretOfBefore = (oldExpiresAt: number | null) => ({
  old_secret_hash: oldExpiresAt === null ? null : fragment.ref<Buffer | null>('secret_hash'),
  old_secret_expires_at: oldExpiresAt,
})
