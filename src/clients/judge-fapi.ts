import { readClientJwks } from '../keys/proofs/client-jwks.ts'
import { fapiAlgs } from './fapi.ts'
import { deviceGrant } from '../protocol/grant-types.ts'
import type { ClientMetadata, PropertyValues } from './properties.ts'

/**
 * What counts for a client that is held to the FAPI 2.0 Security Profile where nothing else is said of it.
 * Only its name and its keys are left to say.
 */
export function fapiDefaults(said: Partial<PropertyValues>): Partial<PropertyValues> {
  const isRefreshing = said.grant_types?.includes('refresh_token') ?? false
  return {
    require_pushed_authorization_requests: true,
    dpop_bound_access_tokens: !said.tls_client_certificate_bound_access_tokens,
    id_token_signed_response_alg: 'ES256',
    ...(isRefreshing && { refresh: 'reuse' }),
  }
}

/**
 * Why a client cannot be held to the FAPI 2.0 Security Profile (§5.3.2, §5.4.1), with what to do; nothing for
 * one that is not to be. `algOf`: the algorithm of a resource's tokens.
 */
export function* fapiRefusals(
  client: ClientMetadata,
  algOf: (uri: string) => string | undefined,
): Generator<string> {
  if (client.profile !== 'fapi2') return
  yield* credentialRefusals(client)
  if (client.grant_types.includes('password'))
    yield 'fapi2 has no password grant: people log in with authorization_code'
  if (client.grant_types.includes(deviceGrant))
    yield 'fapi2 has no grant of devices: who sends somebody a code gets in with it. Leave that grant out'
  if (!client.dpop_bound_access_tokens && !client.tls_client_certificate_bound_access_tokens)
    yield 'fapi2 takes no bearer tokens: bind them with --dpop required, or with --tls-bound'
  if (!client.require_pushed_authorization_requests)
    yield 'fapi2 takes authorization requests by /par alone: leave --par required'
  if (client.pkce !== 'required') yield 'fapi2 demands PKCE: leave --pkce required'
  for (const uri of client.redirect_uris) {
    if (!uri.startsWith('https://')) yield `fapi2 takes https redirect URIs alone, and not ${uri}`
  }
  if (client.grant_types.includes('refresh_token') && client.refresh !== 'reuse') {
    yield (
      'fapi2 has no rotation: the refresh tokens of such a client are worth nothing without its key, and one ' +
      'that is lost logs the user out. Leave --refresh reuse'
    )
  }
  yield* algRefusals(client, algOf)
}

function* credentialRefusals(client: ClientMetadata): Generator<string> {
  const { jwks, jwks_uri, tls_subject } = client
  if (client.public) yield 'fapi2 takes no public client: it must have keys or a certificate'
  else if (jwks === null && jwks_uri === null && tls_subject === null) {
    yield 'fapi2 takes no client secret: give it --new-key, --jwks, --jwks-uri or --tls-subject'
  }
  if (!client.tls_self_signed) yield* fapiKeyRefusals(jwks)
}

/** Why such a client cannot sign its assertions with these keys. */
export function* fapiKeyRefusals(jwks: object | null): Generator<string> {
  const keys = readClientJwks(jwks)?.keys ?? []
  if (keys.length > 0 && !keys.some(({ alg }) => fapiAlgs.includes(alg))) {
    yield (
      'fapi2 takes assertions by PS256, ES256 or Ed25519, which none of its keys is for: ' +
      'an RSA key is for PS256 when its JWK has "alg": "PS256"'
    )
  }
}

function* algRefusals(client: ClientMetadata, algOf: (uri: string) => string | undefined): Generator<string> {
  const { id_token_signed_response_alg: idTokenAlg, userinfo_signed_response_alg: userinfoAlg } = client
  const others = (alg: string) => `fapi2 takes ${fapiAlgs.join(', ')}, and not ${alg}`
  if (!fapiAlgs.includes(idTokenAlg)) yield `${others(idTokenAlg)}: leave --id-token-alg ES256`
  if (userinfoAlg !== null && !fapiAlgs.includes(userinfoAlg))
    yield `${others(userinfoAlg)}: say --userinfo-alg ES256, or leave it out`
  for (const uri of client.resources) {
    const alg = algOf(uri) ?? 'ES256'
    if (!fapiAlgs.includes(alg))
      yield `${others(alg)} for tokens: \`mintmark resource update ${uri} --alg ES256\` changes that of its resource`
  }
}
