import { once } from 'node:events'
import { request, type IncomingMessage } from 'node:http'
import type { Test } from 'tap'

/** An answer of server-sent events, as it comes over the wire. */
export interface ReadStream {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  /** All of it so far. */
  text(): string
  /** The data of its events so far, parsed, each with its id. */
  events(): readonly (Record<string, unknown> & { readonly id: string })[]
  /** Resolves when it has ended. */
  readonly ended: Promise<void>
  /** Takes nothing more, and goes on taking. */
  pause(): void
  resume(): void
  close(): void
}

export async function openEventStream(
  t: Test,
  url: string,
  headers: Readonly<Record<string, string>>,
): Promise<ReadStream> {
  const sent = request(url, { headers, agent: false }).end()
  t.teardown(() => sent.destroy())
  const [answer] = (await once(sent, 'response')) as [IncomingMessage]
  let text = ''
  answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  // It may be cut off.
  answer.on('error', () => {})
  return {
    status: answer.statusCode ?? 0,
    headers: answer.headers,
    text: () => text,
    events: () =>
      [...text.matchAll(/^id: (\S+)\ndata: (.*)\n\n/gm)].map(([, id = '', data = '']) => {
        const entry = JSON.parse(data)
        if (entry.id !== id) throw new Error(`${id} is not the id of ${data}`)
        return entry
      }),
    ended: new Promise(resolve => answer.on('close', resolve)),
    pause: () => void answer.pause(),
    resume: () => void answer.resume(),
    close: () => void sent.destroy(),
  }
}
