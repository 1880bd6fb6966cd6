import type { FastifyReply, FastifyRequest } from 'fastify'
import { proofUrls, requireProof } from '../clients/confirmation.ts'
import type { Context } from '../context.ts'
import { dpopNonces } from '../keys/proofs/dpop-nonces.ts'
import type { Proof } from '../keys/proofs/dpop.ts'

/** Reads the DPoP proofs of an endpoint's requests (RFC 9449 §5). */
export interface ProofReader {
  /** Tells the client the nonce for its next proof (RFC 9449 §8). */
  offerNonce(reply: FastifyReply): void
  /**
   * The proof that came with a request, checked but not spent; undefined for none. To be called first of all:
   * one that only lacks a nonce has then cost nothing, an assertion for instance.
   */
  read(request: FastifyRequest, reply: FastifyReply): Proof | undefined
}

/** `path` is that of the endpoint, below the issuer. */
export function proofReader({ config, rootKeys, clock }: Context, path: string): ProofReader {
  const dpop = { urls: proofUrls(config, path), nonces: dpopNonces(rootKeys, clock) }
  const offerNonce = (reply: FastifyReply) => void reply.header('dpop-nonce', dpop.nonces.current())
  return {
    offerNonce,
    read: ({ headers: { dpop: header } }, reply) => {
      if (header === undefined) return undefined
      offerNonce(reply)
      return requireProof(clock.now(), String(header), dpop)
    },
  }
}
