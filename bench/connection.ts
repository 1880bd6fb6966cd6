import { once } from 'node:events'
import { connect } from 'node:net'
import type { Outgoing } from './load.ts'

/** An answer as it came; its body has a character for each byte. */
export interface Incoming {
  readonly status: number
  readonly body: string
  /** The value of a header that is named in lower case. */
  header(name: string): string | undefined
}

export interface Connection {
  /** One at a time. Rejects when the connection ends before the answer is whole. */
  send(outgoing: Outgoing): Promise<Incoming>
  close(): void
}

/**
 * Speaks as much HTTP/1.1 on one kept connection as a load needs, with a third of the CPU that a whole client
 * takes: on a small machine the load shares the cores with the server that it measures. Answers have to say
 * how long they are.
 */
export async function openConnection(url: string): Promise<Connection> {
  const { hostname, port, host } = new URL(url)
  const writeHead = heads(host)
  let received = ''
  let waiting: PromiseWithResolvers<Incoming> | undefined
  const fail = (error: Error) => waiting?.reject(error)
  const read = (length: number, bytes: Uint8Array) => {
    received += (bytes as Buffer).toString('latin1', 0, length)
    try {
      const answer = wholeAnswer(received)
      if (!answer) return true
      received = ''
      const { resolve } = waiting ?? {}
      waiting = undefined
      resolve?.(answer)
    } catch (error) {
      fail(error as Error)
    }
    return true
  }
  const socket = connect({
    host: hostname,
    port: Number(port),
    noDelay: true,
    onread: { buffer: Buffer.allocUnsafe(64 * 1024), callback: read },
  })
  await once(socket, 'connect')
  socket.on('error', fail)
  socket.on('close', () => fail(new Error(`${url} has closed a connection of the load`)))
  return {
    send: outgoing => {
      waiting = Promise.withResolvers()
      if (socket.destroyed) fail(new Error(`${url} has closed a connection of the load`))
      const { body } = outgoing
      const head = writeHead(outgoing)
      socket.write(
        body === undefined ? `${head}\r\n` : `${head}content-length: ${body.length}\r\n\r\n${body}`,
        'latin1',
      )
      return waiting.promise
    },
    close: () => void socket.destroy(),
  }
}

/** Most callers send the same head each time. */
function heads(host: string): (outgoing: Outgoing) => string {
  let last: Outgoing | undefined
  let text = ''
  return outgoing => {
    const { method, path, headers } = outgoing
    if (last?.headers !== headers || last.path !== path || last.method !== method) {
      const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
      text = `${method} ${path} HTTP/1.1\r\nhost: ${host}\r\n${lines.join('')}`
    }
    last = outgoing
    return text
  }
}

/** Undefined until all of it is there. */
function wholeAnswer(text: string): Incoming | undefined {
  const headEnd = text.indexOf('\r\n\r\n')
  if (headEnd < 0) return undefined
  const status = Number(text.slice(9, 12))
  const header = (name: string) => headerOf(text.slice(0, headEnd), name)
  const length = status === 204 || status === 304 ? 0 : Number(header('content-length') ?? NaN)
  if (Number.isNaN(length)) throw new Error(`an answer of ${status} does not say how long it is`)
  const bodyAt = headEnd + 4
  if (text.length < bodyAt + length) return undefined
  return { status, body: text.slice(bodyAt), header }
}

function headerOf(head: string, name: string): string | undefined {
  return new RegExp(`^${name}: (.*)$`, 'im').exec(head)?.[1]
}
