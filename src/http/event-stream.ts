import type { FastifyReply } from 'fastify'
import { eventStreamType, type EventStream } from '../protocol/event-stream.ts'
import { openLongAnswer } from './long-answer.ts'

/** Turns the answer into a stream of events. */
export function openEventStream(reply: FastifyReply): EventStream {
  const raw = openLongAnswer(reply, { 'content-type': eventStreamType })
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
