import { listTrustedIssuers } from '../../db/clients/trusted-issuers.ts'
import type { ClientTable } from '../../db/schema.ts'
import type { ClientMetadata } from '../clients/properties.ts'
import { storedSubjects } from '../clients/trusted-issuer.ts'
import { Refusal } from '../errors.ts'
import type { Admin } from './admin.ts'

/*
 * A client that had a secret, keys or a certificate is from now on what trusted issuers say of it alone.
 */

/** What such a client has of its own. */
export const ofNoProof = {
  jwks: null,
  jwks_uri: null,
  tls_subject: null,
  tls_self_signed: false,
} as const satisfies Partial<ClientMetadata>

/** Refuses to take its credentials from a client that no issuer names: nothing could be it any more. */
export async function refuseUnnamed({ db }: Pick<Admin, 'db'>, id: string): Promise<void> {
  const issuers = await listTrustedIssuers(db)
  if (issuers.some(({ subjects }) => storedSubjects(subjects)?.some(({ client }) => client === id))) return
  throw new Refusal(
    'invalid',
    `no trusted issuer says which program is ${id}`,
    `\`mintmark issuer trust URL --client ${id} --subject …\` does; what it has now works until then`,
  )
}

/** Its columns, without all that it had. */
export const federatedColumns = (now: number) =>
  ({
    auth_method: 'federated',
    jwks: null,
    jwks_uri: null,
    keys_expire_at: null,
    tls_subject: null,
    secret_hash: null,
    old_secret_hash: null,
    old_secret_expires_at: null,
    credentials_set_at: now,
  }) as const satisfies Partial<ClientTable>
