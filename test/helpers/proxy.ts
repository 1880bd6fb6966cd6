import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import type { Test } from 'tap'

/** Stands between a client and PostgreSQL, and breaks what the test wants broken. */
export interface Proxy {
  readonly port: number
  /** Cuts every connection. */
  cut(): void
  /** Lets the next statement reach the server, and cuts the connection when its answer comes back. */
  loseNextAnswer(): void
  /** Passes nothing on any more, in either direction, as a network that is gone does. */
  freeze(): void
  thaw(): void
  /** Replaces text in the server's answers by another of the same length. */
  replace(found: string, by: string): void
}

export async function startProxy(t: Test, targetPort: number): Promise<Proxy> {
  const sockets = new Set<Socket>()
  let losesNext = false
  let isFrozen = false
  let isClosed = false
  let replacement: { found: Buffer; by: Buffer } | undefined

  const changed = (data: Buffer): Buffer => {
    if (!replacement) return data
    const at = data.indexOf(replacement.found)
    if (at === -1) return data
    const copy = Buffer.from(data)
    replacement.by.copy(copy, at)
    return copy
  }

  const server = createServer(client => {
    if (isClosed) return void client.destroy()
    const target = connect(targetPort, '127.0.0.1')
    let isLost = false
    for (const socket of [client, target]) {
      sockets.add(socket)
      socket.setNoDelay(true)
      if (isFrozen) socket.pause()
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        client.destroy()
        target.destroy()
      })
    }
    client.on('data', data => {
      if (losesNext) [losesNext, isLost] = [false, true]
      target.write(data)
    })
    target.on('data', data => {
      if (isLost) client.destroy()
      else client.write(changed(data))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cut = () => {
    for (const socket of sockets) socket.destroy()
  }
  t.teardown(async () => {
    isClosed = true
    cut()
    server.close()
    await once(server, 'close')
  })
  return {
    port: (server.address() as AddressInfo).port,
    cut,
    loseNextAnswer: () => void (losesNext = true),
    freeze: () => {
      isFrozen = true
      for (const socket of sockets) socket.pause()
    },
    thaw: () => {
      isFrozen = false
      for (const socket of sockets) socket.resume()
    },
    replace: (found, by) => {
      replacement = { found: Buffer.from(found), by: Buffer.from(by) }
    },
  }
}
