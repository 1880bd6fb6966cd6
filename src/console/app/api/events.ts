import { settings } from '../settings.ts'
import type { AuditEntry } from './api.ts'
import { send } from './send.ts'

/*
 * The stream of the audit trail: server-sent events (HTML §9.2), read by hand, since what browsers have for
 * them sends neither a token nor a proof.
 */

export type LiveState = 'connecting' | 'live' | 'waiting'

interface Follower {
  readonly query: Readonly<Record<string, string>>
  readonly signal: AbortSignal
  readonly onEntries: (entries: readonly AuditEntry[]) => void
  readonly onState: (state: LiveState) => void
}

/** Milliseconds of rest before it connects again. */
const restMs = 2000

/** After so many milliseconds without a sign of life, of which one comes each ten seconds, it is lost. */
const silenceMs = 30_000

/** An event is far smaller. */
const eventMaxLength = 1_000_000

/** Tells entries as they come, until the signal. Goes on behind the last one when the stream has ended. */
export async function followAudit({ query, signal, onEntries, onState }: Follower): Promise<void> {
  let last = ''
  const url = `${location.origin}${settings.base}/admin/v1/audit/stream?${new URLSearchParams(query)}`
  while (!signal.aborted) {
    const silence = new AbortController()
    const watch = () => setTimeout(() => silence.abort(), silenceMs)
    let timer: ReturnType<typeof setTimeout> | undefined
    try {
      const headers = { accept: 'text/event-stream', ...(last !== '' && { 'last-event-id': last }) }
      const connection = AbortSignal.any([signal, silence.signal])
      const response = await send(new Request(url, { headers, cache: 'no-store', signal: connection }))
      if (response.ok && response.body) {
        onState('live')
        timer = watch()
        for await (const events of eventsIn(response.body)) {
          clearTimeout(timer)
          timer = watch()
          last = events.findLast(({ id }) => id !== '')?.id ?? last
          const entries = events.flatMap(({ data }) => (data === '' ? [] : [JSON.parse(data) as AuditEntry]))
          if (entries.length > 0) onEntries(entries)
        }
      }
    } catch {
      // It is connected again in any case.
    }
    clearTimeout(timer)
    if (signal.aborted) return
    onState('waiting')
    await new Promise(resolve => setTimeout(resolve, restMs))
  }
}

interface StreamedEvent {
  readonly id: string
  readonly data: string
}

/** The events of each piece that arrives; none for a sign of life. */
async function* eventsIn(
  body: ReadableStream<Uint8Array<ArrayBuffer>>,
): AsyncGenerator<readonly StreamedEvent[]> {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      const parts = (rest + value).split('\n\n')
      rest = parts.pop() ?? ''
      if (rest.length > eventMaxLength) throw new Error('an event has no end')
      yield parts.map(eventOf)
    }
  } finally {
    await reader.cancel().catch(() => {})
  }
}

function eventOf(text: string): StreamedEvent {
  const fields = (name: string) =>
    text
      .split('\n')
      .filter(line => line.startsWith(`${name}:`))
      .map(line => line.slice(name.length + 1).replace(/^ /, ''))
  return { id: fields('id').at(-1) ?? '', data: fields('data').join('\n') }
}
