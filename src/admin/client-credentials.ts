import { rotateClientSecret, setClientKeys } from '../../db/clients/credentials.ts'
import type { ClientTable } from '../../db/schema.ts'
import { fetchJson } from '../clients/fetch-json.ts'
import type { AuthMethod } from '../clients/judge-client.ts'
import { fapiKeyRefusals } from '../clients/judge-fapi.ts'
import { judgeKeys, keySettings } from '../clients/registration.ts'
import { Refusal } from '../errors.ts'
import { readClientJwks } from '../keys/proofs/client-jwks.ts'
import { record } from '../record/record.ts'
import { day } from '../values/duration.ts'
import { reachInto } from '../clients/reach.ts'
import type { Admin } from './admin.ts'
import { clientToChange, refuseSelfDescribed, whyLost } from './clients.ts'
import { refuseOwnClient } from './console-client.ts'
import { handOutSecret, type NewSecret } from './secret-file.ts'

/** How long what a client had before may work beside the new, in seconds: the least and the most. */
export const keepLimits = [1, 90 * day] as const

/** A change of what a client authenticates with. */
export interface NewCredentials {
  /** The method before. */
  readonly from: AuthMethod
  /** Until when that works too, in seconds since the epoch; null when it has ended. */
  readonly oldExpiresAt: number | null
}

/**
 * Gives a client a new secret; what it had works for another `keepSeconds`, or has ended. Trusted issuers go
 * on naming it. Refuses a public client, and one that is known by its certificate. `secretFile` is an
 * absolute path.
 */
export async function rotateSecret(
  admin: Admin,
  id: string,
  {
    keepSeconds,
    secretFile,
  }: { readonly keepSeconds?: number | undefined; readonly secretFile?: string | undefined },
): Promise<NewCredentials & { readonly secret: NewSecret }> {
  refuseOwnClient(id)
  const found = await clientToChange(admin, id)
  refuseSelfDescribed(found)
  const { auth_method: from, profile } = found
  if (from === 'none') throw new Refusal('invalid', `the client ${id} is public, so it has no secret`)
  if (profile === 'fapi2') {
    throw new Refusal(
      'invalid',
      `the client ${id} is held to fapi2, which takes no secrets`,
      `\`mintmark client set-keys ${id}\` gives it other keys`,
    )
  }
  if (from !== 'client_secret' && from !== 'private_key_jwt' && from !== 'federated') {
    throw new Refusal(
      'invalid',
      `the client ${id} authenticates in another way (${from}), and takes no secret`,
    )
  }
  if (from === 'federated') refuseToKeep(id, keepSeconds)
  const now = admin.clock.now()
  const oldExpiresAt = keepSeconds === undefined ? null : now + keepSeconds
  const secret = await handOutSecret(secretFile, async secretHash => {
    const detail = { from, old_secret_expires_at: oldExpiresAt }
    const rotated = await record(admin, { event: 'client_secret_rotated', clientId: id, detail }, db =>
      rotateClientSecret(db, id, { from, secretHash, oldExpiresAt, now }, found),
    )
    if (!rotated) throw await whyLost(admin, id)
  })
  return { from, oldExpiresAt, secret }
}

function refuseToKeep(id: string, keepSeconds: number | undefined): void {
  if (keepSeconds === undefined) return
  throw new Refusal(
    'invalid',
    `${id} has neither a secret nor keys that could be kept`,
    'trusted issuers go on naming it until `mintmark issuer distrust`',
  )
}

/** A client that is known by keys, or by what keys may replace. */
export type ClientForKeys = ClientTable & {
  readonly auth_method: Exclude<AuthMethod, 'none' | 'tls_client_auth'>
}

/** Finds a client that may be given keys. Refuses any other. */
export async function clientForKeys(admin: Admin, id: string): Promise<ClientForKeys> {
  refuseOwnClient(id)
  const found = await clientToChange(admin, id)
  refuseSelfDescribed(found)
  const { auth_method: method } = found
  if (method === 'none' || method === 'tls_client_auth') {
    throw new Refusal(
      'invalid',
      `the client ${id} (${method}) is not known by keys`,
      'delete it, and create it with them',
    )
  }
  return { ...found, auth_method: method }
}

/** Public keys (RFC 7517 §5), or where the client publishes them. */
export interface ClientKeySet {
  readonly jwks: object | null
  readonly jwks_uri: string | null
}

/**
 * Gives a client other keys, or keys instead of its secret, which works for another `keepSeconds`, or has
 * ended. Trusted issuers go on naming it.
 */
export async function setKeys(
  admin: Admin,
  found: ClientForKeys,
  { jwks, jwks_uri }: ClientKeySet,
  keepSeconds: number | undefined,
): Promise<NewCredentials & { readonly warnings: readonly string[] }> {
  const { id, profile, auth_method: from } = found
  if ((jwks === null) === (jwks_uri === null))
    throw new Refusal('invalid', 'it has its keys in jwks or at jwks_uri: one of them, and not both')
  if (from === 'federated') refuseToKeep(id, keepSeconds)
  else if (keepSeconds !== undefined && from !== 'client_secret')
    throw new Refusal(
      'invalid',
      `${id} has keys, not a secret: to keep an old key, put it into the new set too`,
    )
  const given = { jwks, jwks_uri, tls_subject: null }
  const isFapi = profile === 'fapi2' && from === 'private_key_jwt'
  const { refusals: unfit, warnings } = judgeKeys(given)
  const refusals = isFapi ? [...unfit, ...fapiKeyRefusals(jwks)] : unfit
  if (refusals.length > 0) throw new Refusal('invalid', refusals.join('\n'))
  const now = admin.clock.now()
  const oldExpiresAt = keepSeconds === undefined ? null : now + keepSeconds
  const columns = keySettings(given)
  const keys = { jwks: columns.jwks, jwks_uri: columns.jwks_uri }
  const detail = { from, jwks, jwks_uri: keys.jwks_uri, old_secret_expires_at: oldExpiresAt }
  const changed = await record(admin, { event: 'client_keys_set', clientId: id, detail }, db =>
    setClientKeys(db, id, { from, keys, oldExpiresAt, now }, found),
  )
  if (!changed) throw await whyLost(admin, id)
  return { from, oldExpiresAt, warnings }
}

/** How long the look at a new `jwks_uri` may take. */
const fetchSeconds = 5

/** Looks at a `jwks_uri` now. The server looks by itself, again and again, so a failure is no refusal. */
export async function findingsAt({ config }: Pick<Admin, 'config'>, uri: string): Promise<readonly string[]> {
  try {
    const reach = reachInto('JWKS_URI_NETWORKS', config.jwksUriNetworks, fetchSeconds)
    const read = readClientJwks(await fetchJson(uri, reach))
    if (!read) throw new Error('the answer is no JWK Set')
    return [
      ...read.problems.map(problem => `at ${uri}, ${problem}`),
      ...(read.keys.length === 0
        ? [`there is no usable key at ${uri} yet, and until then it is refused`]
        : []),
    ]
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    return [`${uri} cannot be read from here now, and until it can the client is refused: ${reason}`]
  }
}
