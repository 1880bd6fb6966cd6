import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'

/** A port of the loopback interface that is free, and a function that gives it away. */
export async function holdPort(): Promise<{ readonly port: number; readonly release: () => Promise<void> }> {
  const holder = createServer().listen(0, '127.0.0.1')
  await once(holder, 'listening')
  const { port } = holder.address() as AddressInfo
  return { port, release: async () => void (await once(holder.close(), 'close')) }
}

/** A free port, for a caller that must know it before the server does. */
export async function freePort(): Promise<number> {
  const { port, release } = await holdPort()
  await release()
  return port
}
