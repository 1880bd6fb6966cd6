import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'

const sockets = new WeakSet<Socket>()

/**
 * Lets a request take longer to arrive than others may. It is cut off all the same where nothing moves on its
 * connection.
 */
export function endureLongRequest(request: IncomingMessage): void {
  const { socket } = request
  sockets.add(socket)
  request.once('close', () => sockets.delete(socket))
}

/** Whether such a request is under way on the connection. */
export function mayTakeLong(socket: Socket): boolean {
  return sockets.has(socket)
}
