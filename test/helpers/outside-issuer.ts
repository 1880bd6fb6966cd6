import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey } from 'jose'
import type { Test } from 'tap'

/** An outside issuer, as a CI or a cluster is one: jose signs, and a real HTTP server publishes the keys. */
export interface OutsideIssuer {
  readonly url: string
  /** The paths that were asked for. */
  readonly asked: string[]
  /** Answers of paths; undefined for 404, and a function destroys or delays. Begins with OIDC discovery. */
  readonly pages: Map<string, unknown>
  /** Signs these claims; `undefined` leaves one out. */
  sign(claims: Readonly<Record<string, unknown>>, header?: Readonly<Record<string, unknown>>): Promise<string>
  /** Signs with another key from now on, which is published at once. */
  rotate(kid: string): Promise<void>
}

export async function outsideIssuer(t: Test, alg = 'RS256'): Promise<OutsideIssuer> {
  const asked: string[] = []
  const pages = new Map<string, unknown>()
  const http = createServer(({ url = '' }, response) => {
    asked.push(url)
    const page = pages.get(url)
    if (page === 'hang up') response.destroy()
    else if (page === undefined) response.writeHead(404).end('{}')
    else response.end(typeof page === 'string' ? page : JSON.stringify(page))
  })
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
  t.teardown(() => http.close())
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`
  let key: { readonly kid: string; readonly privateKey: CryptoKey }
  const rotate = async (kid: string) => {
    const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true })
    key = { kid, privateKey }
    pages.set('/jwks', { keys: [{ ...(await exportJWK(publicKey)), kid, alg, use: 'sig' }] })
  }
  await rotate('first')
  pages.set('/.well-known/openid-configuration', { issuer: url, jwks_uri: `${url}/jwks` })
  return {
    url,
    asked,
    pages,
    sign: async (claims, header) =>
      new SignJWT({ ...claims })
        .setProtectedHeader({ alg, kid: key.kid, typ: 'JWT', ...header })
        .sign(key.privateKey),
    rotate,
  }
}
