import 'reflect-metadata'
import { hash } from 'node:crypto'
import {
  cryptoProvider,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
  type JsonGeneralName,
  type JsonName,
} from '@peculiar/x509'

cryptoProvider.set(crypto)

/** A certificate of a client, and how a proxy passes it on. */
export interface TestCertificate {
  readonly der: Buffer
  /** The field `Client-Cert` (RFC 9440 §2.2). */
  readonly field: string
  readonly publicJwk: object
  /** PEM, for a server. */
  readonly privateKey: string
  readonly certificate: string
}

export interface CertificateOptions {
  /** As RFC 4514 writes it, or as pairs. */
  readonly subject?: string | JsonName
  readonly names?: readonly JsonGeneralName[]
  readonly notBefore?: Date
  readonly notAfter?: Date
}

/** The claim `x5t#S256` of what is bound to it (RFC 8705 §3.1). */
export const thumbprintOf = ({ der }: TestCertificate) => hash('sha256', der, 'base64url')

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const century = { notBefore: new Date('2000-01-01'), notAfter: new Date('2100-01-01') }

/** Signed by itself; whether a proxy has verified it, a test says in its configuration. */
export async function testCertificate({
  subject = 'CN=app',
  names = [],
  ...life
}: CertificateOptions = {}): Promise<TestCertificate> {
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const x509 = await X509CertificateGenerator.createSelfSigned({
    serialNumber: '01',
    name: subject,
    ...century,
    ...life,
    signingAlgorithm: algorithm,
    keys,
    extensions: names.length === 0 ? [] : [new SubjectAlternativeNameExtension([...names])],
  })
  const der = Buffer.from(x509.rawData)
  const pkcs8 = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey))
  const { kty, crv, x, y } = await crypto.subtle.exportKey('jwk', keys.publicKey)
  return {
    der,
    field: `:${der.toString('base64')}:`,
    publicJwk: { kty, crv, x, y },
    privateKey: `-----BEGIN PRIVATE KEY-----\n${pkcs8.toString('base64')}\n-----END PRIVATE KEY-----\n`,
    certificate: x509.toString('pem'),
  }
}
