import type { Message } from './messages.ts'

/** The latest messages, so that hardly a listener needs the database for what it has missed. */
export interface RecentMessages {
  add(message: Message): void
  /** Those after that number; undefined where some of them are not here any more. */
  after(seq: number): readonly Message[] | undefined
  /** The one of that number. */
  at(seq: number): Message | undefined
  last(): Message | undefined
}

/** At about half a kilobyte each. */
export const recentMax = 1000

export function openRecent(): RecentMessages {
  let messages: Message[] = []
  let isComplete = true
  const indexAfter = (seq: number): number => {
    let [low, high] = [0, messages.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((messages[middle]?.row.seq ?? 0) > seq) high = middle
      else low = middle + 1
    }
    return low
  }
  return {
    add: message => {
      messages.push(message)
      if (messages.length >= recentMax) isComplete = false
      // Not one by one: each time, all would move.
      if (messages.length >= 2 * recentMax) messages = messages.slice(-recentMax)
    },
    after: seq => {
      const index = indexAfter(seq)
      // Before the first one there may be others.
      return index > 0 || isComplete ? messages.slice(index) : undefined
    },
    at: seq => {
      const found = messages[indexAfter(seq) - 1]
      return found?.row.seq === seq ? found : undefined
    },
    last: () => messages.at(-1),
  }
}
