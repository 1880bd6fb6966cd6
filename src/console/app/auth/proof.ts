/*
 * DPoP proofs (RFC 9449 §4). The key lives as long as the page, and cannot be exported: a thief of the
 * tokens alone can do nothing with them.
 */

const es256 = { name: 'ECDSA', namedCurve: 'P-256' } as const

const pair = crypto.subtle.generateKey(es256, false, ['sign'])

/** How far the server's clock is ahead of ours, in seconds. */
let ahead = 0

/** Sets our clock by an answer of the server. */
export function readClock(response: Response): void {
  const there = Date.parse(response.headers.get('date') ?? '')
  if (!Number.isNaN(there)) ahead = Math.round((there - Date.now()) / 1000)
}

/** Whole seconds since the epoch, by the server's clock as far as it is known. */
export function now(): number {
  return Math.floor(Date.now() / 1000) + ahead
}

export interface Proven {
  readonly method: string
  readonly url: string
  readonly accessToken?: string
  readonly nonce?: string | undefined
}

/** A proof for one request. */
export async function makeProof({ method, url, accessToken, nonce }: Proven): Promise<string> {
  const { publicKey, privateKey } = await pair
  const { kty, crv, x, y } = await crypto.subtle.exportKey('jwk', publicKey)
  const claims = {
    jti: randomText(),
    htm: method,
    htu: url.replace(/[?#].*/s, ''),
    iat: now(),
    ...(accessToken !== undefined && { ath: await sha256(accessToken) }),
    ...(nonce !== undefined && { nonce }),
  }
  const header = { typ: 'dpop+jwt', alg: 'ES256', jwk: { kty, crv, x, y } }
  const signed = `${jsonPart(header)}.${jsonPart(claims)}`
  const signature = await crypto.subtle.sign({ name: 'ECDSA', hash: 'SHA-256' }, privateKey, bytesOf(signed))
  return `${signed}.${base64url(new Uint8Array(signature))}`
}

/** 128 random bits. */
export function randomText(): string {
  return base64url(crypto.getRandomValues(new Uint8Array(16)))
}

/** SHA-256 as PKCE (RFC 7636 §4.2) and DPoP write it. */
export async function sha256(text: string): Promise<string> {
  return base64url(new Uint8Array(await crypto.subtle.digest('SHA-256', bytesOf(text))))
}

const bytesOf = (text: string) => new TextEncoder().encode(text)
const jsonPart = (value: object) => base64url(bytesOf(JSON.stringify(value)))

function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replace(/=+$/, '')
}
