import { generateKeyPairSync, randomUUID, sign } from 'node:crypto'
import type { EndlessCaller } from './load.ts'

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })

/** The key of all clients here: for DPoP proofs and for client assertions. */
export const publicJwk = publicKey.export({ format: 'jwk' })

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })

/** The keys of the outside issuer: most sign with RS256. */
export const issuerJwks = {
  keys: [publicJwk, { ...rsa.publicKey.export({ format: 'jwk' }), alg: 'RS256', kid: 'rsa' }],
}

const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')

function signJwt(header: object, claims: object): string {
  const text = `${encode({ alg: 'ES256', ...header })}.${encode({ jti: randomUUID(), ...claims })}`
  const signature = sign('sha256', Buffer.from(text), { key: privateKey, dsaEncoding: 'ieee-p1363' })
  return `${text}.${signature.toString('base64url')}`
}

/** Takes about a millisecond. */
function signByRsa(claims: object): string {
  const text = `${encode({ alg: 'RS256', typ: 'JWT', kid: 'rsa' })}.${encode({ jti: randomUUID(), ...claims })}`
  return `${text}.${sign('sha256', Buffer.from(text), rsa.privateKey).toString('base64url')}`
}

const now = () => Math.floor(Date.now() / 1000)

/** As `caller`, with a DPoP proof of its own for each request (RFC 9449), and the newest nonce in it. */
export function withProofs(caller: EndlessCaller, issuer: string): EndlessCaller {
  let nonce: string | undefined
  return {
    next: () => {
      const request = caller.next()
      const claims = { htm: request.method, htu: `${issuer}${request.path}`, iat: now(), nonce }
      const dpop = signJwt({ typ: 'dpop+jwt', jwk: publicJwk }, claims)
      return { ...request, headers: { ...request.headers, dpop } }
    },
    answered: (status, body, header) => {
      const isFirst = nonce === undefined
      nonce = header('dpop-nonce')
      // The first answer gives the nonce and nothing else.
      if (!(isFirst && status === 400 && body.includes('"use_dpop_nonce"')))
        caller.answered(status, body, header)
    },
  }
}

/** Signs with the same key, and is trusted to name a client. */
export const outsideIssuer = 'https://ci.example'

const issuedClaims = (issuer: string) => {
  return { iss: outsideIssuer, sub: 'job', aud: issuer, iat: now(), exp: now() + 600 }
}

/** An assertion of the outside issuer by ES256. */
export const issueAssertion = (issuer: string): string => signJwt({ typ: 'JWT' }, issuedClaims(issuer))

/** The same by RS256, which takes too long to be done beside a load. */
export const issueByRsa = (issuer: string): string => signByRsa(issuedClaims(issuer))

/** The token request with an assertion of the outside issuer as its grant (RFC 7523 §2.1). */
export const issuedForm = (assertion: string): string =>
  `grant_type=${encodeURIComponent('urn:ietf:params:oauth:grant-type:jwt-bearer')}&assertion=${assertion}`

/** As `caller`, with a client assertion of its own for each request (RFC 7523) instead of the secret. */
export function withAssertions(caller: EndlessCaller, issuer: string, clientId: string): EndlessCaller {
  const type = encodeURIComponent('urn:ietf:params:oauth:client-assertion-type:jwt-bearer')
  return {
    ...caller,
    next: () => {
      const { headers, body, ...request } = caller.next()
      const { authorization, ...others } = headers
      const claims = { iss: clientId, sub: clientId, aud: issuer, iat: now(), exp: now() + 60 }
      const assertion = `client_assertion_type=${type}&client_assertion=${signJwt({}, claims)}`
      return { ...request, headers: others, body: `${body}&${assertion}` }
    },
  }
}
