import type { KeyRing } from '../keys/ring/key-ring.ts'
import { usualAlg } from './fapi.ts'
import type { Client } from './registry.ts'

/**
 * The JWS algorithm for what a client has chosen one for. One that has just been chosen signs only when every
 * client can know its key.
 */
export function clientAlg(
  { keys }: { readonly keys: Pick<KeyRing, 'algs'> },
  client: Client,
  chosen: string,
): string {
  return keys.algs().includes(chosen) ? chosen : usualAlg(client)
}
