import { request, type IncomingMessage } from 'node:http'
import type { Test } from 'tap'
import { until, type TestClient, type TestServer } from './server.ts'
import { runJob } from './run-job.ts'

/** What was heard. */
export interface Heard {
  readonly event: string
  readonly id: string
  readonly data: Readonly<Record<string, unknown>>
}

/** A stream of events that a test reads. */
export interface Listening {
  readonly response: IncomingMessage
  readonly heard: readonly Heard[]
  /** All text so far. */
  text(): string
  /** The last id, of an event or a sign of life. */
  lastId(): string
  hasEnded(): boolean
  /** Resolves once so many events were heard. */
  events(count: number): Promise<readonly Heard[]>
  stop(): void
}

export interface ListenOptions {
  readonly lastEventId?: string | undefined
  readonly headers?: Readonly<Record<string, string | undefined>>
}

/** Opens a stream at a server that listens; of any answer but 200 there is the response alone. */
export async function listenAt(
  t: Test,
  origin: string,
  headers: Readonly<Record<string, string | undefined>>,
  lastEventId?: string,
): Promise<Listening> {
  const sent = Object.entries({ ...headers, 'last-event-id': lastEventId }).filter(
    ([, value]) => value !== undefined,
  )
  const asking = request(`${origin}/events`, { headers: Object.fromEntries(sent), agent: false })
  t.teardown(() => asking.destroy())
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    asking.once('response', resolve).once('error', reject)
    asking.end()
  })
  asking.on('error', () => {})
  const heard: Heard[] = []
  let text = ''
  let rest = ''
  let lastId = ''
  let hasEnded = false
  response.setEncoding('utf8')
  response.on('data', (chunk: string) => {
    text += chunk
    rest += chunk
    for (let end = rest.indexOf('\n\n'); end !== -1; end = rest.indexOf('\n\n')) {
      const fields = new Map(
        rest
          .slice(0, end)
          .split('\n')
          .map(line => line.split(/: ?(.*)/s, 2) as [string, string]),
      )
      rest = rest.slice(end + 2)
      lastId = fields.get('id') ?? lastId
      const event = fields.get('event')
      if (event !== undefined)
        heard.push({ event, id: fields.get('id') ?? '', data: JSON.parse(fields.get('data') ?? 'null') })
    }
  })
  response.on('close', () => (hasEnded = true)).on('error', () => {})
  return {
    response,
    heard,
    text: () => text,
    lastId: () => lastId,
    hasEnded: () => hasEnded,
    events: async count => {
      await until(() => heard.length >= count)
      return heard
    },
    stop: () => asking.destroy(),
  }
}

/** Has a server whose jobs run by hand tell all who listen. */
export async function tell(server: TestServer): Promise<void> {
  await runJob(server, 'telling listeners')
}

/** Resolves once all have had a sign of life: nothing that was told is on its way to them. */
export async function settled(server: TestServer, ...streams: readonly Listening[]): Promise<void> {
  await until(() => streams.every(({ text }) => text().includes('retry')))
  server.tick(16)
  await tell(server)
  const before = streams.map(({ text }) => text().length)
  await runJob(server, 'looking after listeners')
  await until(() => streams.every(({ text, hasEnded }, i) => hasEnded() || text().length > (before[i] ?? 0)))
}

/** The client of a resource server. */
export function apiClient(server: TestServer, id: string, introspects: string): Promise<TestClient> {
  return server.client(id, { introspects, resources: '', grant_types: 'client_credentials', scope: '' })
}
