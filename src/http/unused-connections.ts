import type { Server } from 'node:http'
import type { Socket } from 'node:net'

/**
 * Follows the connections; the answer closes those on which nothing was ever asked, which Node.js takes for
 * busy ones.
 */
export function unusedConnections(server: Server): () => void {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  return () => {
    for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy()
  }
}
