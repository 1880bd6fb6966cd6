import type { IncomingHttpHeaders } from 'node:http'
import type { Database } from '../../db/database.ts'
import { rememberUse } from '../../db/grants/replays.ts'
import type { Config } from '../config/load.ts'
import { OAuthError } from '../errors.ts'
import { readClientCert } from '../keys/proofs/certificate.ts'
import type { DpopNonces } from '../keys/proofs/dpop-nonces.ts'
import { checkProof, type Proof } from '../keys/proofs/dpop.ts'
import { normalUrl } from '../protocol/normal-url.ts'
import { profileFault } from './fapi.ts'
import type { Client } from './registry.ts'

/**
 * The key that tokens are bound to: of a DPoP proof (RFC 9449 §6) or of a client certificate (RFC 8705 §3).
 */
export interface Confirmation {
  readonly tokenType: 'DPoP' | 'Bearer'
  /** The claim (RFC 7800 §3.1). */
  readonly cnf: { readonly jkt: string } | { readonly 'x5t#S256': string }
  /** The claim's value, as 32 bytes. */
  readonly thumbprint: Buffer
  /** It counts once: see `spendProof`. */
  readonly proof?: Proof
}

/** The URLs of an endpoint, like `/token`, that a proof for it may be made for. */
export function proofUrls({ issuer, mtlsUrl }: Config, path: string): readonly string[] {
  return [issuer, mtlsUrl].map(base => normalUrl(base + path) ?? '')
}

/**
 * Checks the proof of a POST request (RFC 9449 §4.3, §5). Spends nothing: one that lacks a nonce is only
 * sent again.
 */
export function requireProof(
  now: number,
  header: string,
  { urls, nonces }: { readonly urls: readonly string[]; readonly nonces: DpopNonces },
): Proof {
  const verdict = checkProof(header, { method: 'POST', urls, now, isNonce: nonces.isGood })
  if (verdict.kind === 'nonce_needed') {
    throw new OAuthError('use_dpop_nonce', 'the DPoP proof needs the nonce that is in the header DPoP-Nonce')
  }
  if (verdict.kind === 'invalid') throw badProof(verdict.reason)
  return verdict.proof
}

/** The key that this request's tokens are bound to; undefined for bearer tokens. */
export function confirmationOf(
  client: Client,
  headers: IncomingHttpHeaders,
  proof: Proof | undefined,
): Confirmation | undefined {
  if (client.tls_bound === 1) {
    // One token, one key (RFC 7800 §3.1).
    if (proof)
      throw badProof('the tokens of this client are bound to its certificate, so it must not send one')
    return ofCertificate(headers)
  }
  if (proof) {
    checkProfile(client, proof)
    const { thumbprint } = proof
    return { tokenType: 'DPoP', cnf: { jkt: thumbprint.toString('base64url') }, thumbprint, proof }
  }
  if (client.dpop_bound === 1) throw badProof('this client must send one, in the header DPoP')
  return undefined
}

/** Refuses a proof that the client's profile does not allow. */
export function checkProfile(client: Client, proof: Proof): void {
  const fault = profileFault(client, proof)
  if (fault !== undefined) throw badProof(fault)
}

function ofCertificate(headers: IncomingHttpHeaders): Confirmation {
  const certificate = readClientCert(headers['client-cert'])
  if (!certificate) {
    throw new OAuthError(
      'invalid_request',
      'the tokens of this client are bound to its certificate: connect with it',
    )
  }
  const { thumbprint } = certificate
  return { tokenType: 'Bearer', cnf: { 'x5t#S256': thumbprint.toString('base64url') }, thumbprint }
}

/**
 * The key that a session's refresh tokens are bound to. Only those of a public client are (RFC 9449 §5,
 * RFC 8705 §4). Those of others are bound to the client's authentication, so that it may change its key.
 */
export function boundKey(client: Client, confirmation: Confirmation | undefined): Buffer | null {
  return client.auth_method === 'none' ? (confirmation?.thumbprint ?? null) : null
}

/**
 * Uses a proof up, for all instances (RFC 9449 §11.1): just before something changes, and only for what is
 * genuine, so that a stranger cannot fill the memory of proofs.
 */
export async function spendProof(
  { db }: { readonly db: Database },
  { replayId, expiresAt }: Proof,
): Promise<void> {
  if (!(await rememberUse(db, { id: replayId, expiresAt }))) throw badProof('the jti was used before')
}

const badProof = (reason: string) =>
  new OAuthError('invalid_dpop_proof', `the DPoP proof is not valid: ${reason}`)
