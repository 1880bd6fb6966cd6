import type { IncomingMessage } from 'node:http'
import type { Config } from '../config/load.ts'
import { addressOf } from '../values/addresses.ts'
import { networks } from '../values/networks.ts'

/**
 * Makes the guard of the fields that only trusted proxies may set. Every request passes through it first, so
 * later readers may believe the fields that are left.
 */
export function proxyFieldsGuard({
  clientCert,
  trustProxy,
}: Pick<Config, 'clientCert' | 'trustProxy'>): (request: IncomingMessage) => void {
  const isProxy = networks(trustProxy)
  return ({ headers, socket }) => {
    // RFC 9440 §4: a client can send this field itself.
    if (headers['client-cert'] !== undefined) {
      if (clientCert === 'off' || !isProxy(socket.remoteAddress ?? '')) delete headers['client-cert']
    }
    const forwardedFor = headers['x-forwarded-for']
    if (forwardedFor === undefined) return
    const believed = believedAddresses(String(forwardedFor), isProxy)
    if (believed.length > 0) headers['x-forwarded-for'] = believed.join(', ')
    else delete headers['x-forwarded-for']
  }
}

/**
 * The addresses of X-Forwarded-For that trusted proxies have told: from the right up to the first that is no
 * proxy. A text that is no address (`unknown`) ends them too, since a client may have written all to the left
 * of it.
 */
function believedAddresses(field: string, isProxy: (address: string) => boolean): readonly string[] {
  const believed: string[] = []
  for (const hop of field.split(',').reverse()) {
    if (hop.trim() === '') continue // RFC 9110 §5.6.1.2
    const address = addressOf(hop)
    if (address === undefined) break
    believed.unshift(address)
    if (!isProxy(address)) break
  }
  return believed
}
