/** The phase of a signing key: published to follow, signing, verifying only, or revoked. */
export type KeyPhase = 'next' | 'active' | 'retiring' | 'revoked'
