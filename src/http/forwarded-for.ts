import type { IncomingMessage } from 'node:http'
import type { Config } from '../config/load.ts'
import { addressOf } from '../values/addresses.ts'
import { networks } from '../values/networks.ts'

/**
 * Makes the reader of the field `X-Forwarded-For`, through which every request passes before anybody asks where it comes
 * from: of what trusted proxies say, it leaves the addresses alone. What is none (`unknown`) is as if it were not there,
 * and whatever is to the left of it too: who stands there is known to nobody, and he may have written all of that.
 */
export function forwardedForReader({
  trustProxy,
}: Pick<Config, 'trustProxy'>): (request: Pick<IncomingMessage, 'headers'>) => void {
  const isProxy = networks(trustProxy)
  return ({ headers }) => {
    const field = headers['x-forwarded-for']
    if (field === undefined) return
    const believed: string[] = []
    for (const hop of String(field).split(',').reverse()) {
      if (hop.trim() === '') continue // RFC 9110 §5.6.1.2
      const address = addressOf(hop)
      if (address === undefined) break
      believed.unshift(address)
      if (!isProxy(address)) break
    }
    if (believed.length > 0) headers['x-forwarded-for'] = believed.join(', ')
    else delete headers['x-forwarded-for']
  }
}
