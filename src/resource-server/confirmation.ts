import { hash } from 'node:crypto'
import { networks } from '../values/networks.ts'
import { BearerError, type AuthScheme } from './bearer-error.ts'
import { openProofs } from './dpop-proof.ts'
import type { Settings } from './settings.ts'

/** The parts of a request that are looked at, as `node:http` has them. */
export interface ApiRequest {
  readonly method?: string | undefined
  /** The path and the query, as the client has sent them. */
  readonly url?: string | undefined
  readonly headers: {
    readonly authorization?: string | undefined
    readonly dpop?: string | string[] | undefined
    readonly 'client-cert'?: string | string[] | undefined
  }
  /** The connection; of one with TLS, the client's certificate is asked for. */
  readonly socket?: { readonly remoteAddress?: string | undefined } | undefined
}

/** An access token, and how it was sent. */
export interface SentToken {
  readonly scheme: AuthScheme
  readonly token: string
}

/**
 * Makes the check that the sender of a token has the key that it is bound to (RFC 7800 §3.1): a DPoP key
 * (RFC 9449 §7) or a certificate (RFC 8705 §3). A token that is bound to none must be sent as a bearer
 * token. Rejects with a `BearerError`.
 */
export function openConfirmations(
  settings: Settings,
): (cnf: unknown, sent: SentToken, request: ApiRequest) => Promise<void> {
  const requireProof = openProofs(settings)
  const isProxy = networks(settings.trustProxy)

  return async (cnf, { scheme, token }, { method, url, headers, socket }) => {
    if (cnf === undefined) {
      if (scheme === 'DPoP') throw invalid('DPoP', 'the token is bound to no key, and was sent with a proof')
      return
    }
    const { jkt, 'x5t#S256': certificateHash, ...others }: Record<string, unknown> = Object(cnf)
    const known = [jkt, certificateHash].filter(value => value !== undefined)
    if (
      known.length === 0 ||
      Object.keys(others).length > 0 ||
      known.some(value => typeof value !== 'string')
    ) {
      throw invalid(scheme, 'the token is bound to a key in a way that is not known here')
    }
    if (scheme === 'DPoP' && jkt === undefined) {
      throw invalid('Bearer', 'the token is bound to a certificate, and was sent with a proof')
    }
    if (typeof jkt === 'string') {
      // RFC 9449 §7.2: a sender of the token alone may be a thief.
      if (scheme === 'Bearer') throw invalid('DPoP', 'the token is bound to a DPoP key, and was sent alone')
      await requireProof(headers.dpop, { jkt, accessToken: token, method, path: url })
    }
    if (certificateHash !== undefined) {
      const isFromProxy = isProxy(socket?.remoteAddress ?? '')
      const certificate = isFromProxy ? fieldOf(headers['client-cert']) : peerCertificateOf(socket)
      if (!certificate || hash('sha256', certificate, 'base64url') !== certificateHash) {
        throw invalid(scheme, 'the token is bound to another certificate than that of the connection')
      }
    }
  }
}

/** RFC 9440 §2.2: the DER of one certificate, in base64 between colons. */
function fieldOf(field: string | string[] | undefined): Buffer | undefined {
  const [, base64] = typeof field === 'string' ? (/^:([A-Za-z0-9+/]+={0,2}):$/.exec(field) ?? []) : []
  return base64 === undefined ? undefined : Buffer.from(base64, 'base64')
}

/** The DER of the certificate that the client has shown to this server itself, of any issuer. */
function peerCertificateOf(socket: object | undefined): Buffer | undefined {
  if (!socket || !('getPeerCertificate' in socket) || typeof socket.getPeerCertificate !== 'function')
    return undefined
  const { raw }: { raw?: unknown } = Object(socket.getPeerCertificate())
  return Buffer.isBuffer(raw) ? raw : undefined
}

const invalid = (scheme: AuthScheme, cause: string) =>
  new BearerError('invalid_token', { scheme, cause: new Error(cause) })
