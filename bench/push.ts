import { connect, type Socket } from 'node:net'
import { setTimeout as sleep, setImmediate } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { createVerifier } from '../src/resource-server/verifier.ts'
import { freePort } from '../test/helpers/free-port.ts'
import { connections, refreshing } from './callers.ts'
import { load } from './load.ts'
import {
  basic,
  clientId,
  clientSecret,
  password,
  resource,
  startBeside,
  startMintmark,
  username,
  type Mintmark,
} from './mintmark.ts'
import { pinSelf } from './processes.ts'

/*
 * npm run bench:push [-- --listeners N] [--revocations N] [--rounds N] [--beside]
 *
 * With a thousand streams of events open: how long it takes from the answer to POST /revoke until the kit
 * refuses the token; how much memory a stream takes; and how many refreshes a second there are beside them,
 * against without them, in rounds that alternate. `--beside` revokes at another server of the same database.
 */
const { values } = parseArgs({
  options: {
    listeners: { type: 'string', default: '1000' },
    revocations: { type: 'string', default: '200' },
    rounds: { type: 'string', default: '10' },
    beside: { type: 'boolean', default: false },
  },
})
// The kit is one of them.
const listeners = Number(values.listeners) - 1
const revocations = Number(values.revocations)
const rounds = Number(values.rounds)
const roundSeconds = 3
const say = (text: string) => process.stdout.write(`${text}\n`)

pinSelf(1)
const port = await freePort()
const issuer = `http://127.0.0.1:${port}`
const server = await startMintmark({
  sessions: connections,
  cpu: 0,
  env: { MINTMARK_PORT: String(port), MINTMARK_ISSUER: issuer, MINTMARK_SESSIONS_PER_USER: '10000' },
})
/** Each goes on with the newest token that it was given. */
const callers = server.refreshTokens.slice(0, connections).map(refreshing)
const beside = values.beside ? await startBeside(server, 0) : undefined
try {
  await measureMemory(server)
  await measureDelay()
  await measureRefreshes()
} finally {
  await beside?.stop()
  await server.stop()
}

/** A stream whose bytes are thrown away. */
async function openStream(): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  const begun = new Promise<void>((resolve, reject) => {
    socket.once('error', reject)
    socket.once('data', chunk => {
      if (String(chunk).startsWith('HTTP/1.1 200')) resolve()
      else reject(new Error(String(chunk)))
    })
  })
  socket.write(`GET /events HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nAuthorization: ${basic}\r\n\r\n`)
  await begun
  socket.on('error', () => {})
  return socket.resume()
}

async function openStreams(): Promise<() => Promise<void>> {
  const sockets: Socket[] = []
  while (sockets.length < listeners)
    sockets.push(
      ...(await Promise.all(Array.from({ length: Math.min(50, listeners - sockets.length) }, openStream))),
    )
  return async () => {
    for (const socket of sockets) socket.destroy()
    await sleep(500)
  }
}

/** The second time: what the first one has compiled and grown is there already. */
async function measureMemory({ residentBytes }: Mintmark): Promise<void> {
  await load(server.url, callers, 5)
  const bytes: number[] = []
  for (let i = 0; i < 3; i++) {
    const before = residentBytes() ?? NaN
    const close = await openStreams()
    await sleep(20_000)
    bytes.push(((residentBytes() ?? NaN) - before) / listeners)
    await close()
  }
  say(`memory: ${bytes.map(each => (each / 1000).toFixed(1)).join(', ')} kB for each stream, opened thrice`)
}

interface Answer {
  readonly access_token: string
  readonly refresh_token: string
}

async function post(url: string, path: string, form: Record<string, string>): Promise<Answer> {
  const headers = { authorization: basic }
  const response = await fetch(url + path, { method: 'POST', headers, body: new URLSearchParams(form) })
  if (response.status !== 200) throw new Error(`${path} answered ${response.status}`)
  return (await response.json()) as Answer
}

async function measureDelay(): Promise<void> {
  const close = await openStreams()
  const live = Promise.withResolvers<void>()
  const verifier = createVerifier({
    issuer,
    audience: resource,
    push: true,
    client: { id: clientId, secret: clientSecret },
    onPush: isLive => (isLive ? live.resolve() : undefined),
  })
  await live.promise
  const delays: number[] = []
  for (let i = 0; i < revocations; i++) {
    const form = { grant_type: 'password', username, password }
    const { access_token, refresh_token } = await post(issuer, '/token', form)
    await verifier.verify(access_token)
    await sleep(Math.random() * 50)
    await post(beside?.url ?? issuer, '/revoke', { token: refresh_token })
    const answeredAt = performance.now()
    const isGood = () =>
      verifier.verify(access_token).then(
        () => true,
        () => false,
      )
    while (await isGood()) await setImmediate()
    delays.push(performance.now() - answeredAt)
  }
  verifier.close()
  await close()
  const sorted = delays.toSorted((a, b) => a - b)
  const at = (share: number) =>
    (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN).toFixed(1)
  say(
    `from the answer of /revoke to the refusal, ${sorted.length} times: median ${at(0.5)}, p99 ${at(0.99)}, worst ${at(1)} ms`,
  )
}

async function measureRefreshes(): Promise<void> {
  const rate = async () => {
    const { requests, seconds } = await load(server.url, callers, roundSeconds)
    return requests / seconds
  }
  const ratios: number[] = []
  for (let round = 0; round < rounds; round++) {
    const first = round % 2 === 0
    const without = first ? await rate() : NaN
    const close = await openStreams()
    const withThem = await rate()
    await close()
    ratios.push(withThem / (first ? without : await rate()))
  }
  const sorted = ratios.toSorted((a, b) => a - b)
  say(`refreshes beside idle streams, against without: ${sorted.map(each => each.toFixed(3)).join(' ')}`)
}
