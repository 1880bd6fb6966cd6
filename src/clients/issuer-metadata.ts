import { isObject } from '../values/json.ts'
import { fetchJson } from './fetch-json.ts'
import type { Reach } from './reach.ts'

/**
 * Where an issuer publishes its keys, by its metadata: OpenID Connect Discovery 1.0 §4, or RFC 8414 §3 where
 * there are none. They must be of this issuer, to the last slash (RFC 8414 §3.3). Rejects with an error that
 * says what was wrong.
 */
export async function jwksUriOf(issuer: string, reach: Reach): Promise<string> {
  const { origin, pathname } = new URL(issuer)
  const path = pathname.replace(/\/$/, '')
  try {
    return await keysNamedAt(`${origin}${path}/.well-known/openid-configuration`, issuer, reach)
  } catch (error) {
    const other = `${origin}/.well-known/oauth-authorization-server${path}`
    // Nearly all issuers have the first document: its failure tells more.
    return keysNamedAt(other, issuer, reach).catch(() => Promise.reject(error))
  }
}

async function keysNamedAt(url: string, issuer: string, reach: Reach): Promise<string> {
  const metadata = await fetchJson(url, reach, 'application/json')
  if (!isObject(metadata)) throw new Error(`the metadata at ${url} are no JSON object`)
  const { issuer: named, jwks_uri: uri } = metadata
  if (named !== issuer) throw new Error(`the metadata at ${url} are not those of the issuer ${issuer}`)
  if (typeof uri !== 'string' || !URL.canParse(uri))
    throw new Error(`the metadata at ${url} have no jwks_uri`)
  return uri
}
