import { createHash, generateKeyPair, sign, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'
import { calculateJwkThumbprint, exportJWK, jwtVerify, type JWTPayload } from 'jose'
import type { Context } from '../context.ts'
import type { Config } from '../config.ts'
import type { Database } from '../../db/database.ts'
import type { RootKeys } from './root-key.ts'

/** Signs and verifies with the keys of the ring. */
export interface KeyRing {
  /** A compact JWS of the claims, with `typ` and the active key of the algorithm. */
  sign(typ: string, alg: string, claims: object): Promise<string>
  /** The claims of a JWT of ours; undefined for any other, and for one that has expired. */
  verify(jwt: string, typ: string): Promise<JWTPayload | undefined>
  /** The JWKS as served. */
  jwks(): { body: string; etag: string; maxAgeSeconds: number; isConfirmed: boolean }
  /** Follows the database, and does what is due. */
  follow(): Promise<void>
}

export interface KeyRingOptions {
  readonly config: Config
  readonly db: Database
  readonly rootKeys: RootKeys
  readonly now: () => number
  readonly log: Context['log']
}

export async function openKeyRing({ config, now }: KeyRingOptions): Promise<KeyRing> {
  const keys = new Map<string, { kid: string; privateKey: KeyObject; publicKey: KeyObject; jwk: object }>()
  for (const [alg, pair] of [
    ['ES256', promisify(generateKeyPair)('ec', { namedCurve: 'P-256' })],
    ['RS256', promisify(generateKeyPair)('rsa', { modulusLength: 2048 })],
  ] as const) {
    const { privateKey, publicKey } = await pair
    const jwk = await exportJWK(publicKey)
    const kid = await calculateJwkThumbprint(jwk)
    keys.set(alg, { kid, privateKey, publicKey, jwk: { ...jwk, kid, alg, use: 'sig' } })
  }
  const body = JSON.stringify({ keys: [...keys.values()].map(key => key.jwk) })
  const etag = `"${createHash('sha256').update(body).digest('base64url')}"`
  return {
    sign: async (typ, alg, claims) => {
      const key = keys.get(alg)
      if (!key) throw new Error(`there is no ${alg} key`)
      const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
      const text = `${encode({ alg, typ, kid: key.kid })}.${encode(claims)}`
      const signature = sign('sha256', Buffer.from(text), { key: key.privateKey, dsaEncoding: 'ieee-p1363' })
      return `${text}.${signature.toString('base64url')}`
    },
    verify: async (jwt, typ) => {
      try {
        const { payload } = await jwtVerify(
          jwt,
          ({ kid, alg }) => {
            const key = keys.get(alg)
            if (!key || key.kid !== kid) throw new Error('the key is unknown')
            return key.publicKey
          },
          { typ, issuer: config.issuer, currentDate: new Date(now() * 1000), algorithms: [...keys.keys()] },
        )
        return payload
      } catch {
        return undefined
      }
    },
    jwks: () => ({ body, etag, maxAgeSeconds: config.jwksMaxAgeSeconds, isConfirmed: true }),
    follow: async () => {},
  }
}
