import type { ClientRequest, IncomingMessage } from 'node:http'

/**
 * The answer to a request. Rejects also where there is none: one that changes the protocol (101) Node.js
 * neither shows nor calls an error, it only closes the connection, and then no time limit is heard of either.
 */
export async function responseTo(request: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request
      .on('response', resolve)
      .on('error', reject)
      .on('close', () => reject(new Error('the connection was closed without an answer')))
  })
}
