import { once } from 'node:events'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { localAddress } from './local-address.ts'

/** Works while no other process works under this name. Whatever ends the process, the next one may. */
export async function alone(name: string, work: () => Promise<void>): Promise<void> {
  const held = createServer()
  for (;;) {
    try {
      held.listen(localAddress(name))
      await once(held, 'listening')
      break
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EADDRINUSE')) throw error
      await sleep(50)
    }
  }
  try {
    await work()
  } finally {
    held.close()
  }
}
