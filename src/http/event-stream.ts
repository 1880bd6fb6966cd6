import type { FastifyReply } from 'fastify'
import { eventStreamType, type EventStream } from '../protocol/event-stream.ts'

/**
 * Turns the answer into a stream. Proxies that buffer answers are told not to. From then on Fastify knows
 * nothing of it.
 */
export function openEventStream(reply: FastifyReply): EventStream {
  reply.headers({
    'content-type': eventStreamType,
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
  return {
    send: text => {
      if (raw.writable) raw.write(text)
    },
    isBehind: () => raw.writableNeedDrain,
    end: () => {
      if (raw.writableNeedDrain) raw.destroy()
      else raw.end()
    },
    onClose: tell => {
      // It may have gone while its stream was prepared: that is not said again.
      if (raw.closed) tell()
      else raw.once('close', tell)
    },
    onDrain: tell => void raw.on('drain', tell),
  }
}
