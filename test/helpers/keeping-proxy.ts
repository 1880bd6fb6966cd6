import { once } from 'node:events'
import { Agent, createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'

/**
 * A reverse proxy as they are: it keeps its connections to the servers behind it, asks each ten times a
 * second whether it is ready, sends a request to one that is, never repeats one, and answers 502 where a
 * server fails it.
 */
export interface KeepingProxy {
  readonly url: string
  /** Which servers there are, by their URLs. */
  servers: readonly string[]
}

export async function startKeepingProxy(t: Test): Promise<KeepingProxy> {
  const agent = new Agent({ keepAlive: true, maxSockets: 16 })
  let ready: readonly string[] = []
  let isOver = false
  let turn = 0

  const server = createServer((incoming, answer) => {
    const target = ready[turn++ % Math.max(1, ready.length)]
    const fail = () => answer.writeHead(502).end('{}')
    if (target === undefined) return void fail()
    const { method, url, headers } = incoming
    const passed = request(new URL(url ?? '/', target), { agent, method, headers }, response => {
      // The connection to the client is the proxy's own.
      const { connection: _, ...rest } = response.headers
      answer.writeHead(response.statusCode ?? 502, rest)
      response.pipe(answer)
    })
    passed.on('error', fail)
    incoming.pipe(passed)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')

  const proxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    servers: [] as readonly string[],
  }
  const look = async () => {
    const statuses = await Promise.all(
      proxy.servers.map(url =>
        fetch(`${url}/health/ready`)
          .then(response => response.text().then(() => response.status))
          .catch(() => undefined),
      ),
    )
    ready = proxy.servers.filter((_, i) => statuses[i] === 200)
  }
  const looking = (async () => {
    for (; !isOver; await sleep(100)) await look()
  })()
  t.teardown(async () => {
    isOver = true
    await looking
    agent.destroy()
    server.closeAllConnections()
    await once(server.close(), 'close')
  })
  return proxy
}
