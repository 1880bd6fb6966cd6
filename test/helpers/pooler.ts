import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import type { Test } from 'tap'

/**
 * What PgBouncer does in transaction mode, and nothing else: a few connections to PostgreSQL, of which a
 * client has one for the length of a transaction, and another one for the next. It refuses the parameters of
 * a start that it would have to remember.
 */
export async function startPooler(t: Test, target: { port: number; database: string }): Promise<number> {
  const sockets = new Set<Socket>()
  const idle: Backend[] = []
  const waiting: ((backend: Backend) => void)[] = []
  const release = (backend: Backend) => {
    const next = waiting.shift()
    if (next) next(backend)
    else idle.push(backend) // and the longest idle is taken first
  }
  for (let i = 0; i < 3; i++) idle.push(await connectBackend(target, sockets))

  const server = createServer(client => {
    sockets.add(client)
    client.on('error', () => {})
    client.on('close', () => sockets.delete(client))
    serveClient(client, {
      take: async () => idle.shift() ?? new Promise<Backend>(resolve => waiting.push(resolve)),
      release,
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
    await once(server, 'close')
  })
  return (server.address() as AddressInfo).port
}

interface Backend {
  readonly socket: Socket
  /** Hears each message of the server. */
  hear: (message: Buffer) => void
}

interface Backends {
  take(): Promise<Backend>
  release(backend: Backend): void
}

const remembered = ['user', 'database', 'client_encoding', 'application_name']

function serveClient(client: Socket, { take, release }: Backends): void {
  let backend: Backend | undefined
  let queue = Promise.resolve()
  let batch: Buffer[] = []

  const forward = async (messages: readonly Buffer[]) => {
    const current = (backend ??= await take())
    await new Promise<void>(resolve => {
      current.hear = message => {
        client.write(message)
        if (message[0] !== code('Z')) return
        // Idle: the transaction is over, and with it the right to this connection.
        if (message[5] === code('I')) {
          backend = undefined
          release(current)
        }
        resolve()
      }
      current.socket.write(Buffer.concat(messages))
    })
  }
  const onMessage = (message: Buffer) => {
    if (message[0] === code('X')) return void client.end()
    batch.push(message)
    if (message[0] !== code('S') && message[0] !== code('Q')) return
    const messages = batch
    batch = []
    queue = queue.then(() => forward(messages))
  }
  const onStart = (start: Buffer) => {
    const parameters = start.subarray(8).toString().split('\0')
    const unknown = parameters.filter((name, i) => i % 2 === 0 && name !== '' && !remembered.includes(name))
    if (unknown.length > 0) {
      const text = `SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter: ${unknown[0]}\0\0`
      return void client.end(message('E', Buffer.from(text)))
    }
    client.write(Buffer.concat([message('R', Buffer.alloc(4)), message('Z', Buffer.from('I'))]))
  }
  readMessages(client, onMessage, onStart)
}

async function connectBackend(
  { port, database }: { port: number; database: string },
  sockets: Set<Socket>,
): Promise<Backend> {
  const socket = connect(port, '127.0.0.1')
  sockets.add(socket)
  socket.on('error', () => {})
  await once(socket, 'connect')
  const body = Buffer.from(`\0\x03\0\0user\0postgres\0database\0${database}\0\0`)
  const backend: Backend = { socket, hear: () => {} }
  const ready = new Promise<void>(resolve => {
    backend.hear = message => {
      if (message[0] === code('Z')) resolve()
    }
  })
  readMessages(socket, message => backend.hear(message))
  socket.write(Buffer.concat([lengthOf(body), body]))
  await ready
  return backend
}

/** Cuts the stream into messages. A client's first one has no type. */
function readMessages(
  socket: Socket,
  onMessage: (message: Buffer) => void,
  onStart?: (start: Buffer) => void,
): void {
  let rest = Buffer.alloc(0)
  let isStarted = onStart === undefined
  socket.on('data', data => {
    rest = Buffer.concat([rest, data])
    for (;;) {
      const header = isStarted ? 1 : 0
      if (rest.length < header + 4) return
      const end = header + rest.readUInt32BE(header)
      if (rest.length < end) return
      const one = rest.subarray(0, end)
      rest = rest.subarray(end)
      if (isStarted) onMessage(one)
      else onStart?.(one)
      isStarted = true
    }
  })
}

function message(type: string, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from(type), lengthOf(body), body])
}

function lengthOf(body: Buffer): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(body.length + 4)
  return length
}

const code = (type: string) => type.charCodeAt(0)
