import type { FastifyInstance, FastifyReply } from 'fastify'
import { signUpIsOpen } from '../account/sign-up.ts'
import { adminScopes } from '../admin/administrators.ts'
import type { Config } from '../config/load.ts'
import type { Context } from '../context.ts'
import { notFound } from '../errors.ts'
import { pathOf } from '../http/request-target.ts'
import { clientAlgs } from '../keys/jws.ts'
import { languageTags } from '../pages/language.ts'
import { prompts, responseModes } from '../protocol/authorization-request.ts'
import { claimNames } from '../protocol/claims.ts'
import { grantTypes } from '../protocol/grant-types.ts'
import { passkeysPossible } from '../factors/passkeys.ts'
import { attainableLevels } from '../protocol/levels.ts'
import { openidScopes } from '../protocol/openid-scopes.ts'
import { challengeMethod } from '../protocol/pkce.ts'
import { ssfScopes } from '../protocol/ssf-scopes.ts'
import { introspectionAlg } from './introspect.ts'
import { transmitterMetadata } from './ssf/transmitter.ts'

/** How long a client may keep the document, in seconds. */
const maxAgeSeconds = 300

/**
 * GET /.well-known/oauth-authorization-server (RFC 8414 §3), and the same document at openid-configuration,
 * where many libraries look and nowhere else (RFC 8414 §5).
 *
 * Where the issuer has a path, that follows the well-known one; or the well-known one follows it, as OpenID
 * Connect Discovery §4 has it, and then a proxy may have cut the issuer's off. So openid-configuration alone
 * is at the bare address too: a document at the other would be of an issuer without a path, which may be
 * somebody else. The metadata of the transmitter of security events are at ssf-configuration (SSF 1.0 §7.2).
 */
export function metadataEndpoints(app: FastifyInstance, ctx: Context): void {
  const { pathname } = new URL(ctx.config.issuer)
  const answer = async (reply: FastifyReply, read: ReadMetadata) => {
    const cacheControl =
      ctx.standing.keysNeededUntil() === undefined ? `public, max-age=${maxAgeSeconds}` : 'no-cache'
    reply.header('cache-control', cacheControl).removeHeader('pragma')
    return read(ctx)
  }
  for (const [name, read] of documents) {
    app.get(`/.well-known/${name}`, async ({ method, originalUrl: url }, reply) => {
      const isBare = pathname !== '/' && !pathOf({ method, url }).startsWith(`${pathname}/`)
      if (isBare && name !== 'openid-configuration') throw notFound()
      return answer(reply, read)
    })
    if (pathname !== '/') app.get(`/.well-known/${name}${pathname}`, (_request, reply) => answer(reply, read))
  }
}

type ReadMetadata = (ctx: Context) => object | Promise<object>

const documents: readonly (readonly [name: string, ReadMetadata])[] = [
  ['oauth-authorization-server', metadata],
  ['openid-configuration', metadata],
  ['ssf-configuration', ({ config }) => transmitterMetadata(config.issuer)],
]

/** RFC 8414 §2 and OpenID Connect Discovery §3. */
async function metadata(ctx: Context) {
  const { config, clients } = ctx
  const { issuer, clientCert, mtlsUrl } = config
  const scopes = await clients.registry.listScopes()
  const detailTypes = await clients.registry.listDetailTypes()
  const authMethods = [
    'client_secret_basic',
    'client_secret_post',
    'private_key_jwt',
    ...tlsMethods(clientCert),
  ]
  return {
    issuer,
    token_endpoint: `${issuer}/token`,
    token_endpoint_auth_methods_supported: [...authMethods, 'none'],
    token_endpoint_auth_signing_alg_values_supported: clientAlgs,
    grant_types_supported: grantTypes,
    scopes_supported: [
      ...new Set([
        ...openidScopes,
        ...(config.adminApi === 'on' ? adminScopes : []),
        ...ssfScopes,
        ...scopes,
      ]),
    ],
    // RFC 9396 §10
    ...(detailTypes.length > 0 && { authorization_details_types_supported: detailTypes }),
    jwks_uri: `${issuer}/.well-known/jwks.json`,
    ...authorizationMetadata(config),
    ...openidMetadata(ctx),
    introspection_endpoint: `${issuer}/introspect`,
    introspection_endpoint_auth_methods_supported: authMethods,
    introspection_endpoint_auth_signing_alg_values_supported: clientAlgs,
    revocation_endpoint: `${issuer}/revoke`,
    revocation_endpoint_auth_methods_supported: [...authMethods, 'none'],
    revocation_endpoint_auth_signing_alg_values_supported: clientAlgs,
    // RFC 9449 §5.1
    dpop_signing_alg_values_supported: clientAlgs,
    // RFC 8705 §3.3, §5
    ...(clientCert !== 'off' && { tls_client_certificate_bound_access_tokens: true }),
    ...(mtlsUrl !== issuer && { mtls_endpoint_aliases: endpointsAt(mtlsUrl) }),
    // RFC 9701 §7
    introspection_signing_alg_values_supported: [introspectionAlg],
    // draft-parecki-oauth-global-token-revocation §4
    global_token_revocation_endpoint: `${issuer}/global-token-revocation`,
    // draft-ietf-oauth-status-list §9.1
    status_list_aggregation_endpoint: `${issuer}/status-lists`,
    // draft-ietf-oauth-refresh-token-expiration §8
    refresh_token_expiration_types_supported: ['authorization', 'token_timeout'],
  }
}

/** How authorization requests are made and answered. */
function authorizationMetadata({ issuer, clientDocumentHosts, clientRegistration }: Config) {
  return {
    authorization_endpoint: `${issuer}/authorize`,
    response_types_supported: ['code'],
    response_modes_supported: responseModes,
    code_challenge_methods_supported: [challengeMethod],
    // RFC 9126 §5
    pushed_authorization_request_endpoint: `${issuer}/par`,
    // RFC 8628 §4
    device_authorization_endpoint: `${issuer}/device_authorization`,
    // draft-ietf-oauth-first-party-apps §8
    authorization_challenge_endpoint: `${issuer}/authorize-challenge`,
    // RFC 7591 §3
    ...(clientRegistration !== 'off' && { registration_endpoint: `${issuer}/register` }),
    // draft-ietf-oauth-client-id-metadata-document §6
    ...(clientDocumentHosts.length > 0 && { client_id_metadata_document_supported: true }),
    // RFC 9207 §3
    authorization_response_iss_parameter_supported: true,
    // RFC 9101: by value or by reference, but for those of /par.
    request_parameter_supported: false,
    request_uri_parameter_supported: false,
  }
}

/** What OpenID Connect Discovery §3 adds, and the documents that go on from there. */
function openidMetadata(ctx: Context) {
  const { config, keys } = ctx
  const { issuer } = config
  // Those of the keys that are published: some libraries take no other for any of our tokens.
  const algs = keys.publishedAlgs()
  return {
    userinfo_endpoint: `${issuer}/userinfo`,
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: algs,
    userinfo_signing_alg_values_supported: algs,
    acr_values_supported: attainableLevels(passkeysPossible(config)),
    claim_types_supported: ['normal'],
    claims_supported: ['sub', ...tokenClaims, ...claimNames],
    claims_parameter_supported: true,
    ui_locales_supported: languageTags,
    // OpenID Connect Prompt Create 1.0 §4.2
    prompt_values_supported: prompts.filter(prompt => prompt !== 'create' || signUpIsOpen(ctx)),
    // OpenID Connect RP-Initiated Logout 1.0 §2.1
    end_session_endpoint: `${issuer}/log-out`,
    // OpenID Connect Back-Channel Logout 1.0 §2.1
    backchannel_logout_supported: true,
    backchannel_logout_session_supported: true,
  }
}

/** Of ID tokens, beside those of the user. */
const tokenClaims = ['iss', 'aud', 'exp', 'iat', 'auth_time', 'nonce', 'acr', 'amr', 'sid', 'at_hash']

/** An unverified certificate proves a key, and no name (RFC 8705 §2). */
function tlsMethods(clientCert: Config['clientCert']): readonly string[] {
  if (clientCert === 'off') return []
  return [...(clientCert === 'verified' ? ['tls_client_auth'] : []), 'self_signed_tls_client_auth']
}

function endpointsAt(base: string) {
  return {
    token_endpoint: `${base}/token`,
    pushed_authorization_request_endpoint: `${base}/par`,
    device_authorization_endpoint: `${base}/device_authorization`,
    authorization_challenge_endpoint: `${base}/authorize-challenge`,
    userinfo_endpoint: `${base}/userinfo`,
    introspection_endpoint: `${base}/introspect`,
    revocation_endpoint: `${base}/revoke`,
  }
}
