/** What a signing key is: published to follow, signing, verifying only, or revoked. */
export type KeyPhase = 'next' | 'active' | 'retiring' | 'revoked'
