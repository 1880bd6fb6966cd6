import { usualAlg } from '../clients/fapi.ts'
import type { Client } from '../clients/registry.ts'
import type { Context } from '../context.ts'

/**
 * The JWS algorithm for what a client has chosen one for. One that has just been chosen signs only when every
 * client can know its key.
 */
export function clientAlg({ keys }: Pick<Context, 'keys'>, client: Client, chosen: string): string {
  return keys.algs().includes(chosen) ? chosen : usualAlg(client)
}
