import { rememberUse } from '../../db/grants/replays.ts'
import { OAuthError, type OAuthErrorOptions } from '../errors.ts'
import {
  judgeAssertion,
  type AssertionVerdict,
  type UnverifiedAssertion,
  type ValidAssertion,
} from '../keys/proofs/assertion.ts'
import { hasSubject, isCertificateOf, isInForce, readClientCert } from '../keys/proofs/certificate.ts'
import type { Form } from '../protocol/form.ts'
import { hashSecret, isSameHash } from '../protocol/secrets.ts'
import { auditEntry } from '../record/record.ts'
import { networkOf, normalAddress } from '../values/addresses.ts'
import type { ClientAuthContext } from './auth-context.ts'
import type { IncomingRequest } from './caller.ts'
import { readCredentials } from './credentials.ts'
import { fapiAheadMin, fapiAssertionFault, isFapi } from './fapi.ts'
import { issuerOf, provenByIssuer } from './issued-assertions.ts'
import { isClientId } from './known-clients.ts'
import type { Client } from './registry.ts'
import { isSignedBy } from './signed-by.ts'

/** Stands for an absent hash in comparisons: no secret has it. */
const noHash = Buffer.alloc(32)

/**
 * Which client is calling (RFC 6749 §2.3): `none` (a public client's `client_id`), `client_secret_basic`,
 * `client_secret_post`, `private_key_jwt` (RFC 7523 §2.2) by the client's own keys or by a trusted issuer,
 * `tls_client_auth` or `self_signed_tls_client_auth` (RFC 8705 §2). A client that has credentials must prove
 * them, and credentials that come along are never ignored.
 *
 * Why a client is refused goes to the log alone: its caller cannot tell an unknown client from a wrong
 * secret. But what is wrong with the claims of an assertion it is told, whether the client is known or not
 * (RFC 7521 §4.2.1). `find` finds it, where not in the registry. Does NOT check what the client may do.
 */
export async function authenticateClient(
  ctx: ClientAuthContext,
  request: IncomingRequest,
  form: Form,
  find: (id: string) => Promise<Client | undefined> = id => ctx.clients.registry.findClient(id),
): Promise<Client> {
  const { id, secret, assertion } = readCredentials(request.headers.authorization, form)
  const issuer = assertion && (await issuerOf(ctx, assertion))
  if (assertion && issuer) {
    const issued = { issuer, assertion, clientId: form.get('client_id') }
    const { client, spend } = await provenByIssuer(ctx, request, issued, 'invalid_client')
    await spend()
    return client
  }
  if (!isClientId(id)) throw refusal('the client_id has characters or a length that none has')
  const client = await find(id)

  const wrong = (why: Refusal) => wrongCredentials(ctx, request, client, { id, ...why })
  const judged = assertion && judge(ctx, assertion)
  if (judged?.kind === 'invalid') throw wrong({ reason: ofAssertion(judged.reason), isTold: true })
  // The same work whether the client is known or not.
  if (secret !== undefined && !isSecretOf(client, hashSecret(secret), ctx.clock.now())) {
    throw wrong({ reason: whyNoSecret(client) })
  }
  if (!client || client.disabled_at !== null) {
    const reason = client ? 'the client is disabled' : 'the client is unknown'
    throw assertion ? wrong({ reason }) : refusal(reason)
  }
  if (secret !== undefined) return client
  if (assertion && judged) {
    const unproven = await whyUnproven(ctx, client, assertion, judged)
    if (unproven) throw wrong(unproven)
    return client
  }
  const reason = await whyNoCertificate(ctx, client, request)
  if (reason !== undefined) throw wrong({ reason })
  return client
}

/** Why credentials are of no use. */
interface Refusal {
  readonly reason: string
  /** Whether the caller is told, for it says nothing of the client: then the text is constant. */
  readonly isTold?: boolean
}

function judge(ctx: ClientAuthContext, assertion: UnverifiedAssertion): AssertionVerdict {
  const skewSeconds = ctx.keys.clockSkewSeconds()
  return judgeAssertion(assertion, {
    issuer: ctx.config.issuer,
    now: ctx.clock.now(),
    skewSeconds,
    // So that clients of all profiles are told the same, who is known by then as little as who is not.
    aheadSeconds: fapiAheadMin,
  })
}

const ofAssertion = (reason: string) => `the client assertion is not valid: ${reason}`

/**
 * The answer to a wrong secret, assertion or certificate: beyond the limit 429, which slows down a loop.
 * Right credentials always pass: 256 random bits cannot be guessed, but anybody could send wrong ones to
 * lock a client out.
 */
function wrongCredentials(
  { users, audit, clock }: ClientAuthContext,
  request: IncomingRequest,
  client: Client | undefined,
  { id, reason, isTold = false }: Refusal & { readonly id: string },
): OAuthError {
  const retryAfter = users.throttle.countWrongCredentials(id)
  const event = retryAfter > 0 ? 'client_throttled' : 'client_refused'
  // Not the id that was sent, where there is no such client: people type their passwords anywhere.
  const facts = { event, ...(client && { client_id: client.id }) }
  const address = normalAddress(request.ip)
  audit.note(
    auditEntry(
      { clock, actor: { kind: 'nobody', caller: { address, requestId: request.id } } },
      { event, clientId: client?.id ?? null, detail: { reason } },
    ),
    networkOf(address),
  )
  if (retryAfter === 0) {
    return isTold ? new OAuthError('invalid_client', reason, { facts }) : refusal(reason, facts)
  }
  return new OAuthError('temporarily_unavailable', 'too many wrong client credentials, come back later', {
    status: 429,
    retryAfter,
    cause: reason,
    facts,
  })
}

function whyNoSecret(client: Client | undefined): string {
  if (!client) return 'the client is unknown'
  return client.secret_hash ? 'the client secret is wrong' : 'a client that has no secret has sent one'
}

/** Compares with the secret and with the one before it, which stays good until its time is up. */
function isSecretOf(client: Client | undefined, hash: Buffer, now: number): boolean {
  // The one that it had before it was given keys.
  if (client && isFapi(client)) return false
  const isCurrent = isSameHash(hash, client?.secret_hash ?? noHash)
  const isOld = isSameHash(hash, client?.old_secret_hash ?? noHash)
  return isCurrent || (isOld && now < (client?.old_secret_expires_at ?? 0))
}

/** Why the client has not signed the assertion, and only once (RFC 7523 §3); undefined if it has. */
async function whyUnproven(
  ctx: ClientAuthContext,
  client: Client,
  assertion: UnverifiedAssertion,
  { replayId, expiresAt }: ValidAssertion,
): Promise<Refusal | undefined> {
  const isMoving = client.keys_expire_at !== null && ctx.clock.now() < client.keys_expire_at
  if (client.auth_method !== 'private_key_jwt' && !isMoving) {
    return { reason: 'the client is not registered for private_key_jwt' }
  }
  if (!(await isSignedBy(ctx.clients.keys, client, assertion)))
    return { reason: 'no key of the client has signed the assertion' }
  // The signer may be told.
  const fault = isFapi(client) ? fapiAssertionFault(assertion.jwt, ctx.clock.now()) : undefined
  if (fault !== undefined) return { reason: ofAssertion(fault), isTold: true }
  if (await rememberUse(ctx.db, { id: replayId, expiresAt })) return undefined
  // The sender has an assertion that the client has signed, so it may be told.
  return {
    reason: ofAssertion('its jti was used before, each request needs an assertion of its own'),
    isTold: true,
  }
}

/**
 * Why the client has not shown its certificate to the proxy (RFC 8705 §2); undefined if it has, or need not.
 */
async function whyNoCertificate(
  ctx: ClientAuthContext,
  client: Client,
  { headers }: IncomingRequest,
): Promise<string | undefined> {
  const { auth_method: method } = client
  if (method === 'none') return undefined
  if (method === 'client_secret') throw refusal('the client has not sent its secret')
  if (method === 'private_key_jwt') throw refusal('the client has not sent an assertion')
  if (method === 'federated') throw refusal('the client has not sent an assertion of a trusted issuer')
  const field = headers['client-cert']
  if (field === undefined) throw refusal('the client has shown no certificate, or no proxy has passed it on')
  const certificate = readClientCert(field)
  if (!certificate) return 'the header Client-Cert holds no certificate'
  if (!isInForce(certificate, ctx.clock.now())) return "the client's certificate is not in force"
  if (method === 'self_signed_tls_client_auth') {
    if (isCertificateOf(certificate, await ctx.clients.keys.of(client))) return undefined
    const newer = await ctx.clients.keys.refetched(client)
    return newer && isCertificateOf(certificate, newer)
      ? undefined
      : "the certificate is of none of the client's keys"
  }
  // The maker of a certificate chooses its names, so somebody must have verified the maker.
  if (ctx.config.clientCert !== 'verified') {
    return 'the proxy passes on certificates that it has not verified (MINTMARK_CLIENT_CERT)'
  }
  return client.tls_subject !== null && hasSubject(certificate, client.tls_subject)
    ? undefined
    : "the certificate has another name than the client's"
}

const refusal = (cause: string, facts?: OAuthErrorOptions['facts']) =>
  new OAuthError('invalid_client', 'the client is unknown, disabled, or has not authenticated as it must', {
    cause,
    ...(facts && { facts }),
  })
