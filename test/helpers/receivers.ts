import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import type { Test } from 'tap'
import { runJob, runLast } from './run-job.ts'
import type { TestServer } from './server.ts'

/** What a receiver has been sent. */
export interface Received {
  readonly request: IncomingMessage
  readonly body: string
}

/** Answers what it is sent. */
export type Receive = (response: ServerResponse, received: Received) => void

/** The environment of a server that may deliver to this machine. */
export const toLoopback = { MINTMARK_DELIVERY_NETWORKS: '127.0.0.0/8' } as const

/** Servers of others that something is delivered to, each at a path of one origin. */
export interface Receivers {
  readonly origin: string
  /** What came to a path. */
  at(path: string): readonly Received[]
  /** From now on the path answers like this; it answers 200 and nothing else without. */
  answer(path: string, receive: Receive): void
  /** How many connections there were. */
  connections(): number
  /** Cuts all connections off. */
  cut(): void
}

export async function startReceivers(t: Test): Promise<Receivers> {
  const received = new Map<string, Received[]>()
  const answers = new Map<string, Receive>()
  const sockets = new Set<Socket>()
  let connections = 0
  const server = createServer((request, response) => {
    void text(request)
      .catch(() => '')
      .then(body => {
        const path = request.url ?? ''
        const one = { request, body }
        received.set(path, [...(received.get(path) ?? []), one])
        const answer = answers.get(path)
        if (answer) answer(response, one)
        else response.end()
      })
  })
  server.on('connection', socket => {
    connections++
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => {})
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cut = () => {
    for (const socket of sockets) socket.destroy()
  }
  t.teardown(() => {
    cut()
    server.close()
  })
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    at: path => received.get(path) ?? [],
    answer: (path, receive) => void answers.set(path, receive),
    connections: () => connections,
    cut,
  }
}

/** Answers with a status, and nothing else. */
export const status =
  (code: number, body = '', headers: Record<string, string> = {}): Receive =>
  response =>
    void response.writeHead(code, headers).end(body)

/** Has a server whose jobs run by hand deliver what there is to deliver. */
export async function deliver(server: Pick<TestServer, 'jobs'>): Promise<void> {
  await runJob(server, 'finding what to deliver')
  await runJob(server, 'delivering')
  await runLast(server, 'delivering')
}
