import { type Client, isAdmin } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import { OAuthError } from '../errors.ts'
import { findTokenSession, whyNoAccessToken } from './token-session.ts'

/**
 * Which administrator's client is calling, by the access token that it got with `client_credentials` (RFC
 * 6750 §2.1). The token must be for this server itself (RFC 9068 §4), and must not have been revoked.
 */
export async function authenticateAdmin(ctx: Context, authorization: string | undefined): Promise<Client> {
  const [, token] = /^bearer +([\w.~+/-]+=*) *$/i.exec(authorization ?? '') ?? []
  if (token === undefined) throw refusal('there is no bearer token')
  const found = await findTokenSession(ctx, token)
  if (found.kind !== 'access_token') throw refusal(whyNoAccessToken(found))
  const { claims, session } = found
  if (claims['aud'] !== ctx.config.issuer) throw refusal('the token is for another audience')
  // RFC 9449 §7.2: one that is bound to a key is no bearer token.
  if (claims['cnf'] !== undefined) throw refusal('the token is bound to a key')
  if (session.revoked_at !== null || !session.isOfThisEpoch) throw refusal('the session has ended')
  const client = await ctx.clients.registry.findClient(session.client_id)
  if (!client || client.disabled_at !== null) throw refusal('the client is unknown or disabled')
  if (session.user_id !== null || !isAdmin(client)) {
    throw new OAuthError('insufficient_scope', 'only a client that is an administrator may do this')
  }
  return client
}

const refusal = (cause: string) =>
  new OAuthError('invalid_token', 'a valid bearer token of an administrator client is needed', { cause })
