import { hash, X509Certificate, type KeyObject } from 'node:crypto'
import { isIP } from 'node:net'
import {
  isSameName,
  parseCertificateName,
  parseDistinguishedName,
} from '../../protocol/distinguished-name.ts'
import type { ClientKey } from './client-jwks.ts'

/** A certificate whose key the client has proven to a proxy that we trust. */
export interface ClientCertificate {
  readonly x509: X509Certificate
  /** SHA-256 of its DER (RFC 8705 §3.1), 32 bytes. */
  readonly thumbprint: Buffer
}

/**
 * Reads the field `Client-Cert` (RFC 9440 §2.2): the DER of one certificate, in base64 between colons.
 * Undefined for anything else; also for two fields, which Node.js joins with a comma.
 */
export function readClientCert(field: string | string[] | undefined): ClientCertificate | undefined {
  const [, base64] = typeof field === 'string' ? (/^:([A-Za-z0-9+/]+={0,2}):$/.exec(field) ?? []) : []
  if (base64 === undefined) return undefined
  const der = Buffer.from(base64, 'base64')
  try {
    const x509 = new X509Certificate(der)
    // Nothing before it, nothing after it, and no PEM.
    return x509.raw.equals(der) ? { x509, thumbprint: hash('sha256', der, 'buffer') } : undefined
  } catch {
    return undefined // it is no certificate
  }
}

/** Whether it is valid at this time, in seconds since the epoch. */
export function isInForce({ x509 }: ClientCertificate, now: number): boolean {
  // Of a time that there is not, Node.js makes any date at all; only its text tells.
  if (Number.isNaN(Date.parse(x509.validFrom)) || Number.isNaN(Date.parse(x509.validTo))) return false
  return x509.validFromDate.getTime() <= now * 1000 && now * 1000 <= x509.validToDate.getTime()
}

/** The kinds of names that RFC 8705 §2.1.2 knows. */
export const subjectKinds = ['subject_dn', 'san_dns', 'san_uri', 'san_ip', 'san_email'] as const

/** Whether a text is a name that a certificate can have, after its kind. */
export function isSubject(text: string): boolean {
  const [, kind, name = ''] = /^([a-z_]+):(.+)$/s.exec(text) ?? []
  switch (subjectKinds.find(known => known === kind)) {
    case 'subject_dn':
      return parseDistinguishedName(name) !== undefined
    case 'san_dns':
      return /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/.test(name)
    case 'san_uri':
      return URL.canParse(name)
    case 'san_ip':
      return isIP(name) !== 0
    case 'san_email':
      return /^[^@\s]+@[^@\s]+$/.test(name)
    case undefined:
      return false
  }
}

/**
 * Whether the certificate has this name, given after its kind (`san_dns:app.example`). Wildcards are no names
 * here.
 */
export function hasSubject({ x509 }: ClientCertificate, subject: string): boolean {
  const colon = subject.indexOf(':')
  const kind = subject.slice(0, colon)
  const name = subject.slice(colon + 1)
  switch (kind) {
    case 'subject_dn': {
      const expected = parseDistinguishedName(name)
      // Whatever its type says: there is none where the name is empty, as it is in certificates with other
      // names alone.
      const { subject: actualText }: { readonly subject?: string } = x509
      const actual = actualText === undefined ? undefined : parseCertificateName(actualText)
      return expected !== undefined && actual !== undefined && isSameName(expected, actual)
    }
    case 'san_dns':
      // `isSubject` keeps names with a leading dot out: OpenSSL would take them for all names below.
      return x509.checkHost(name, { subject: 'never', wildcards: false }) !== undefined
    case 'san_email':
      return x509.checkEmail(name, { subject: 'never' }) !== undefined
    case 'san_ip':
      return x509.checkIP(name) !== undefined
    case 'san_uri':
      return alternativeUris(x509).includes(name)
    default:
      return false // unreachable: other kinds are not registered
  }
}

/** Node.js lists names with their kind, separated by commas; one that could be misread, as a JSON string. */
function alternativeUris({ subjectAltName = '' }: X509Certificate): string[] {
  const entries = subjectAltName.matchAll(/(?:^|, )([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,]*)(?=, |$)/g)
  return [...entries].flatMap(([, kind, value = '']) => {
    if (kind !== 'URI') return []
    return [value.startsWith('"') ? String(JSON.parse(value)) : value]
  })
}

/**
 * Whether one of these keys is the certificate's; a key that was registered with a certificate wants that
 * very one.
 */
export function isCertificateOf({ x509 }: ClientCertificate, keys: readonly ClientKey[]): boolean {
  const publicKey = publicKeyIn(x509)
  return keys.some(({ key, certificate }) =>
    certificate ? certificate.equals(x509.raw) : publicKey !== undefined && key.equals(publicKey),
  )
}

/** A certificate is read before its key is, which may be of an unknown kind, or none. */
function publicKeyIn(x509: X509Certificate): KeyObject | undefined {
  try {
    return x509.publicKey
  } catch {
    return undefined
  }
}
