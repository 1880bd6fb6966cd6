import { defaultAlg } from '../../db/signing-keys.ts'
import type { Context } from '../context.ts'
import { OAuthError } from '../errors.ts'
import type { Form } from '../protocol/form.ts'
import { parseScope } from '../protocol/scope.ts'
import type { Client, Resource } from '../registry.ts'

/** What one access token is for. */
export interface Target {
  /** The `aud`: a resource's URI, or the issuer where the client has no resource. */
  readonly audience: string
  /** Separated by spaces; only what the resource knows (RFC 9068 §2.2.3). */
  readonly scope: string
  /** The JWS algorithm that the resource takes. */
  readonly alg: string
  readonly accessTokenSeconds: number
  /** Whether the token says where its status is listed. */
  readonly hasStatus: boolean
}

/** What was granted before: a refresh may ask for less, never for more. */
export interface Granting {
  /** Separated by spaces. */
  readonly scope: string
  /** The one resource of the grant; null for any of the client's. */
  readonly resource: string | null
}

/**
 * Finds the resource (RFC 8707 §2) and the scope (RFC 6749 §3.3) that a request is for, within what was granted.
 * A scope that the client asks for by name is refused if it cannot be had; one that it does not ask for is left out.
 * Where the request names no resource, its scope tells which one is meant (RFC 9068 §3).
 */
export async function targetOf(
  ctx: Context,
  client: Client,
  form: Form,
  granting: Granting,
): Promise<Target> {
  const named = form.get('resource') ?? granting.resource
  const allowed = listed(client.resources)
  // A resource that was taken from the client since the log-in is taken from the session too.
  if (named !== null && !allowed.includes(named)) throw badTarget()
  if (named !== null && granting.resource !== null && named !== granting.resource) throw badTarget()

  const askedText = form.get('scope')
  const asked = askedText === undefined ? undefined : parseScope(askedText)
  // Likewise a scope.
  const granted = listed(granting.scope).filter(scope => listed(client.scope).includes(scope))
  const resource = await findTarget(ctx, named === null ? allowed : [named], asked, granted)

  const known = resource ? listed(resource.scope) : granted
  const scope = asked ?? granted.filter(item => known.includes(item))
  if (!scope.every(item => granted.includes(item) && known.includes(item))) {
    throw new OAuthError('invalid_scope', 'a requested scope is not granted to this client for this resource')
  }
  return {
    audience: resource?.uri ?? ctx.config.issuer,
    scope: scope.join(' '),
    alg: resource?.previous_alg ?? resource?.alg ?? defaultAlg,
    accessTokenSeconds: resource?.access_token_seconds ?? ctx.config.accessTokenSeconds,
    hasStatus: resource?.has_status !== 0,
  }
}

/** The first resource that knows all scopes asked for (or, if none is, any granted one), else the first; none if `uris` is empty. */
async function findTarget(
  ctx: Context,
  uris: readonly string[],
  asked: readonly string[] | undefined,
  granted: readonly string[],
): Promise<Resource | undefined> {
  let first: Resource | undefined
  for (const uri of uris) {
    const resource = await ctx.registry.findResource(uri)
    if (!resource) continue
    first ??= resource
    const known = listed(resource.scope)
    if (asked ? asked.every(item => known.includes(item)) : granted.some(item => known.includes(item)))
      return resource
  }
  if (!first && uris.length > 0) throw badTarget()
  return first
}

function listed(text: string): readonly string[] {
  return text === '' ? [] : text.split(' ')
}

const badTarget = () =>
  new OAuthError('invalid_target', 'the resource is unknown, or not one that this client may ask tokens for')
