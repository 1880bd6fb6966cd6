import { readEvents } from '../../../values/event-source.ts'
import { settings } from '../settings.ts'
import type { AuditEntry } from './api.ts'
import { send } from './send.ts'

/*
 * The stream of the audit trail: server-sent events (HTML §9.2), read as the kit reads its own, since what
 * browsers have for them sends neither a token nor a proof.
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
        let entries: AuditEntry[] = []
        const events = readEvents(({ data }) => entries.push(JSON.parse(data) as AuditEntry), last)
        for await (const piece of piecesOf(response.body)) {
          clearTimeout(timer)
          timer = watch()
          entries = []
          events.take(piece)
          last = events.lastEventId()
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

/** The pieces of an answer, as they arrive. */
async function* piecesOf(body: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<Uint8Array> {
  const reader = body.getReader()
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      yield value
    }
  } finally {
    await reader.cancel().catch(() => {})
  }
}
