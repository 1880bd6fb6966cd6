import type { IncomingMessage } from 'node:http'
import type { Config } from '../config/load.ts'
import { networks } from '../values/networks.ts'

/**
 * Makes the guard of the field `Client-Cert` (RFC 9440 §4), through which every request passes: what does not come from
 * a trusted proxy has no such field afterwards, so that whoever reads it later may believe it.
 */
export function clientCertGuard({
  clientCert,
  trustProxy,
}: Pick<Config, 'clientCert' | 'trustProxy'>): (request: IncomingMessage) => void {
  const isProxy = networks(clientCert === 'off' ? [] : trustProxy)
  return ({ headers, socket }) => {
    if (headers['client-cert'] === undefined || isProxy(socket.remoteAddress ?? '')) return
    delete headers['client-cert']
  }
}
