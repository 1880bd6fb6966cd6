import { insertClient } from '../db/clients/clients.ts'
import { insertResource } from '../db/clients/resources.ts'
import { insertTrustedIssuer } from '../db/clients/trusted-issuers.ts'
import type { Database } from '../db/database.ts'
import { plainClientRow } from '../src/clients/registration.ts'
import { trustedIssuerSettings } from '../src/clients/trusted-issuer.ts'
import { deviceGrant, jwtBearer, tokenExchange } from '../src/protocol/grant-types.ts'
import { hashSecret } from '../src/protocol/secrets.ts'
import { issuerJwks, outsideIssuer, publicJwk } from './proofs.ts'

export const clientId = 'bench'
export const clientSecret = 'mm_cs_0123456789abcdefghijklmnopqrstuvwxyz0123456'
export const resource = 'https://api.example'
/** The API that the gateway calls. */
export const ordersResource = 'https://orders.example'
/** A second client, to which people log in. */
export const webClientId = 'bench-web'
/** A third, that an outside issuer names. */
export const jobClientId = 'bench-job'
/** An API that exchanges the tokens with which it is called. */
export const gatewayClientId = 'bench-gateway'
export const redirectUri = 'https://app.example/callback'
export const scope = 'orders:read orders:write'

/** More of them, for each has so many devices waiting and no more. */
export const deviceClientIds = Array.from({ length: 64 }, (_, i) => `bench-device-${i}`)

/** `client_secret_basic`, of any of these clients. */
export const basicOf = (id: string): string =>
  `Basic ${Buffer.from(`${id}:${clientSecret}`).toString('base64')}`

/** Adds the APIs, the clients, and the outside issuer. */
export async function addClients(db: Database, now: number): Promise<void> {
  for (const uri of [resource, ordersResource])
    await insertResource(db, {
      uri,
      scope,
      scope_words: '{}',
      alg: 'ES256',
      previous_alg: 'ES256',
      access_token_seconds: null,
      has_status: 1,
      personal_access_tokens: uri === resource ? 1 : 0,
      is_open: uri === resource ? 1 : 0,
      created_at: now,
    })
  const add = async (id: string, settings: Partial<Parameters<typeof plainClientRow>[0]>) => {
    const common = { id, secret_hash: hashSecret(clientSecret), scope, resources: resource, created_at: now }
    await insertClient(db, plainClientRow({ ...common, ...settings }))
  }
  await add(clientId, {
    // As while it moves from keys to a secret: it may use either.
    jwks: JSON.stringify({ keys: [publicJwk] }),
    keys_expire_at: now + 86_400,
    grant_types: 'password refresh_token client_credentials',
    introspects: resource,
  })
  await add(webClientId, {
    grant_types: 'authorization_code refresh_token',
    redirect_uris: redirectUri,
    id_token_alg: 'ES256',
  })
  await add(jobClientId, { auth_method: 'federated', secret_hash: null, grant_types: jwtBearer })
  await add(gatewayClientId, {
    grant_types: tokenExchange,
    introspects: resource,
    resources: ordersResource,
  })
  for (const id of deviceClientIds) await add(id, { grant_types: `${deviceGrant} refresh_token` })
  const jobs = { subject: 'job', subject_pattern: null, claims: {}, client: jobClientId, user: null }
  const trusted = { audience: null, jwks: issuerJwks, jwks_uri: null, max_life: null }
  const ofIssuer = trustedIssuerSettings({ ...trusted, reusable: false, subjects: [jobs] })
  await insertTrustedIssuer(db, { issuer: outsideIssuer, ...ofIssuer, created_at: now }, 1)
}
