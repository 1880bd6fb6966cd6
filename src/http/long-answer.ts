import type { ServerResponse } from 'node:http'
import type { FastifyReply } from 'fastify'

/**
 * Begins an answer that is written piece by piece. Proxies that buffer answers are told not to. From then on
 * Fastify knows nothing of it.
 */
export function openLongAnswer(
  reply: FastifyReply,
  headers: Readonly<Record<string, string>>,
): ServerResponse {
  reply.headers({
    ...headers,
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
    // Or a server that ends would wait for the next request of who has kept the connection.
    connection: 'close',
  })
  reply.hijack()
  const { raw } = reply
  for (const [name, value] of Object.entries(reply.getHeaders())) {
    if (value !== undefined) raw.setHeader(name, value)
  }
  return raw
}
