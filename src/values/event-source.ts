/** An event of a stream, as it was sent. */
export interface ServerSentEvent {
  readonly event: string
  readonly data: string
}

/** Takes the parts of a stream in, as they come. */
export interface EventReader {
  take(chunk: Uint8Array): void
  /** The id to go on from: that of the last event, or of a later sign of life; empty for none. */
  lastEventId(): string
}

/** Far more than any event has. */
const lengthMax = 4 * 1024 * 1024

/**
 * Reads server-sent events (HTML Standard §9.2.6). Throws where one is longer than any could be, so that a
 * stream that never ends a line fills no memory.
 */
export function readEvents(onEvent: (event: ServerSentEvent) => void, lastId = ''): EventReader {
  const decoder = new TextDecoder()
  let rest = ''
  let wasReturn = false
  let lastEventId = lastId
  let id = lastId
  let event = ''
  let data: string[] = []
  let length = 0

  const dispatch = () => {
    lastEventId = id
    if (data.length > 0) onEvent({ event: event === '' ? 'message' : event, data: data.join('\n') })
    event = ''
    data = []
    length = 0
  }
  const takeLine = (line: string) => {
    if (line === '') return dispatch()
    const [, name = '', value = ''] = /^([^:]*):? ?(.*)$/s.exec(line) ?? []
    length += line.length
    if (length > lengthMax) throw new Error('an event of the stream is too long')
    if (name === 'id' && !value.includes('\0')) id = value
    if (name === 'event') event = value
    if (name === 'data') data.push(value)
  }
  return {
    take: chunk => {
      let text = decoder.decode(chunk, { stream: true })
      if (text === '') return
      // The two halves of one line break may come apart.
      if (wasReturn && text.startsWith('\n')) text = text.slice(1)
      wasReturn = text.endsWith('\r')
      const lines = (rest + text).split(/\r\n|\n|\r/)
      rest = lines.pop() ?? ''
      if (rest.length > lengthMax) throw new Error('an event of the stream is too long')
      lines.forEach(takeLine)
    },
    lastEventId: () => lastEventId,
  }
}
