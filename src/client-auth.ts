import { normalAddress } from './addresses.ts'
import { auditEntry } from './audit-trail.ts'
import type { IncomingRequest } from './caller.ts'
import type { Context } from './context.ts'
import { OAuthError } from './errors.ts'
import { decodeFormComponent, type Form } from './protocol/form.ts'
import { hashSecret, isSameHash } from './protocol/secrets.ts'
import type { Client } from './registry.ts'

/** VSCHAR (RFC 6749 appendix A.1), and no longer than a name has to be: unknown ones are remembered by the registry. */
const clientIdPattern = /^[\x20-\x7e]{1,255}$/

/** What an absent hash is compared with: no secret has it. */
const noHash = Buffer.alloc(32)

/**
 * Which client is calling (RFC 6749 §2.3): `none` (a public client's `client_id`), `client_secret_basic` or
 * `client_secret_post`. A client that has a secret must prove it, and credentials that come along are never ignored.
 *
 * Why a client is refused goes to the log alone: its caller cannot tell an unknown client from a wrong secret.
 * Does NOT check what the client may do.
 */
export async function authenticateClient(
  ctx: Context,
  request: IncomingRequest,
  form: Form,
): Promise<Client> {
  const { id, secret } = readCredentials(request.headers.authorization, form)
  if (!clientIdPattern.test(id)) throw refused('the client_id has characters or a length that none has')
  const client = await ctx.registry.findClient(id)

  // The same work whether the client is known or not.
  if (secret !== undefined && !isSecretOf(client, hashSecret(secret), ctx.now())) {
    throw wrongSecret(ctx, request, id, client)
  }
  if (!client) throw refused('the client is unknown')
  if (secret === undefined && client.secret_hash) throw refused('the client has not sent its secret')
  if (client.disabled_at !== null) throw refused('the client is disabled')
  return client
}

/**
 * What a wrong secret is answered with: beyond the limit 429, which slows down whoever loops. A right secret is let in all
 * the same. Nobody guesses 256 random bits, but anybody could send wrong ones to lock a client out.
 */
function wrongSecret(
  { throttle, audit, now }: Context,
  request: IncomingRequest,
  id: string,
  client: Client | undefined,
): OAuthError {
  const retryAfter = throttle.countWrongSecret(id)
  const reason = !client
    ? 'the client is unknown'
    : client.secret_hash
      ? 'the client secret is wrong'
      : 'a public client has sent a secret'
  audit.note(
    auditEntry({
      at: now(),
      event: retryAfter > 0 ? 'client_throttled' : 'client_refused',
      actor: 'nobody',
      clientId: client?.id,
      address: normalAddress(request.ip),
      requestId: request.id,
      detail: { reason },
    }),
  )
  if (retryAfter === 0) return refused(reason)
  return new OAuthError('temporarily_unavailable', 'too many wrong client secrets, come back later', {
    status: 429,
    retryAfter,
    cause: reason,
  })
}

/** Compares with the secret and with the one before it, which stays good until its time is up. */
function isSecretOf(client: Client | undefined, hash: Buffer, now: number): boolean {
  const isCurrent = isSameHash(hash, client?.secret_hash ?? noHash)
  const isOld = isSameHash(hash, client?.old_secret_hash ?? noHash)
  return isCurrent || (isOld && now < (client?.old_secret_expires_at ?? 0))
}

interface Credentials {
  readonly id: string
  readonly secret: string | undefined
}

function readCredentials(authorization: string | undefined, form: Form): Credentials {
  const id = form.get('client_id')
  const secret = form.get('client_secret')
  // RFC 7521 §4.2.1: with an assertion in it, a request that cannot be authenticated is always `invalid_client`.
  if (form.has('client_assertion') || form.has('client_assertion_type')) {
    throw new OAuthError('invalid_client', 'client assertions are not supported: use a client secret')
  }
  if (authorization === undefined) {
    if (id === undefined) {
      throw new OAuthError(
        'invalid_client',
        'the client is missing: send client_id, or HTTP Basic credentials',
      )
    }
    return { id, secret }
  }

  const basic = readBasic(authorization)
  if (secret !== undefined) {
    throw new OAuthError(
      'invalid_request',
      'client credentials are sent in two ways: use the header or the body',
    )
  }
  if (id !== undefined && id !== basic.id) {
    throw new OAuthError('invalid_request', 'the client_id differs from that in the Authorization header')
  }
  return basic
}

/** RFC 7617 §2, with both halves form-encoded (RFC 6749 §2.3.1). An empty secret is none (RFC 6749 §2.3.1). */
function readBasic(authorization: string): Credentials {
  const [, scheme, encoded] = /^([^ ]+) +([A-Za-z0-9+/]+={0,2})$/.exec(authorization) ?? []
  if (scheme?.toLowerCase() !== 'basic' || encoded === undefined) {
    throw new OAuthError('invalid_client', 'the Authorization header does not hold HTTP Basic credentials')
  }
  const text = Buffer.from(encoded, 'base64').toString()
  const colon = text.indexOf(':')
  const id = decodeFormComponent(text.slice(0, Math.max(colon, 0)))
  const secret = decodeFormComponent(text.slice(colon + 1))
  if (colon < 0 || id === undefined || secret === undefined) {
    throw new OAuthError(
      'invalid_client',
      'the Basic credentials are malformed: form-encode client_id and client_secret, join them with a colon, base64',
    )
  }
  return { id, secret: secret === '' ? undefined : secret }
}

const refused = (cause: string) =>
  new OAuthError('invalid_client', 'the client is unknown, disabled, or has not authenticated as it must', {
    cause,
  })
