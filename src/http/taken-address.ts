import { once } from 'node:events'
import { createServer } from 'node:net'
import type { Config } from '../config/load.ts'

/**
 * Before anything is made: a new installation has the issuer of its port, and is refused under another one.
 */
export async function refuseTakenAddress({ host, port, adminHost, adminPort }: Config): Promise<void> {
  const own = adminPort === undefined ? [] : [{ host: adminHost, port: adminPort }]
  for (const address of [{ host, port }, ...own]) {
    const holder = createServer().listen(address)
    await once(holder, 'listening')
    holder.close()
    await once(holder, 'close')
  }
}
