/** One server-sent event (HTML Standard §9.2). */
export interface StreamedEvent {
  /** `message` unless told. */
  readonly event?: string
  /** Where its receiver has come to: sent back as `Last-Event-ID`. Without line breaks. */
  readonly id: string
  readonly data: object
}

/** An answer that goes on: server-sent events (HTML Standard §9.2) for one receiver. */
export interface EventStream {
  /** Sends text, unless the receiver is gone. */
  send(text: string): void
  /** Whether the receiver has not yet taken what was sent: more would only lie in memory. */
  isBehind(): boolean
  /** Ends the answer. Of a receiver that takes nothing, the connection is cut off. */
  end(): void
  /** Has it told once, when the receiver is gone or the answer has ended; at once where that is so. */
  onClose(tell: () => void): void
  /** Has it told each time that the receiver has taken all that was sent. */
  onDrain(tell: () => void): void
}

/** The text of an event in a stream. JSON has no line breaks, so its data is one line. */
export function streamedEvent({ event, id, data }: StreamedEvent): string {
  const name = event === undefined ? '' : `event: ${event}\n`
  return `id: ${id}\n${name}data: ${JSON.stringify(data)}\n\n`
}

/**
 * The text that shows a receiver that the stream lives. With an id, the receiver has come so far: an event
 * without data is none, but its id counts.
 */
export function heartbeat(id?: string): string {
  return id === undefined ? ':\n\n' : `:\nid: ${id}\n\n`
}

/** The text a stream begins with: how long its receiver waits before it connects again, in milliseconds. */
export function streamStart(retryMilliseconds: number): string {
  return `:\nretry: ${retryMilliseconds}\n\n`
}

export const eventStreamType = 'text/event-stream'
