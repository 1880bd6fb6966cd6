import type * as verifier from '../dist/resource-server/verifier.js' with { 'resolution-mode': 'import' }

export type * from '../dist/resource-server/verifier.js' with { 'resolution-mode': 'import' }
export declare const createVerifier: typeof verifier.createVerifier
export declare const BearerError: typeof verifier.BearerError
export type BearerError = verifier.BearerError
