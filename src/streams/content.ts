import type { SecurityEvent } from '../protocol/security-events.ts'

/** What the row of a delivery keeps of a security event, until it is signed. */
export interface EventContent extends SecurityEvent {
  /** Its `txn`. */
  readonly txn: string
  /** When it happened, in seconds since the epoch. */
  readonly at: number
  /** The resources whose APIs may be told; null for all, undefined for an event about the stream itself. */
  readonly audiences: string | null | undefined
}

export function contentOf(content: EventContent): string {
  return JSON.stringify(content)
}

/** Reads what `contentOf` has written. */
export function readContent(text: string): EventContent {
  return JSON.parse(text) as EventContent
}
