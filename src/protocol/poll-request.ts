import { areTexts, isObject } from '../values/json.ts'
import { malformed, type Members } from './stream-configuration.ts'

/** What a receiver asks for when it polls, and what it says of what it has got (RFC 8936 §2.2). */
export interface PollRequest {
  /** How many events it takes at once. */
  readonly max: number
  /** Whether it waits for an event where there is none. */
  readonly mayWait: boolean
  /** The `jti` of those that it has taken. */
  readonly acknowledged: readonly string[]
  /** What is wrong with those that it does not take, by their `jti`. */
  readonly errors: Readonly<Record<string, unknown>>
}

/** How many events are in one answer. */
const eventsMax = 100

export function readPollRequest({ maxEvents, returnImmediately, ack, setErrs }: Members): PollRequest {
  if (maxEvents !== undefined && !(Number.isSafeInteger(maxEvents) && Number(maxEvents) >= 0))
    throw malformed('maxEvents must be a whole number that is not negative')
  if (returnImmediately !== undefined && typeof returnImmediately !== 'boolean')
    throw malformed('returnImmediately must be true or false')
  if (ack !== undefined && !areTexts(ack)) throw malformed('ack must be an array of the jti of events')
  if (setErrs !== undefined && !isObject(setErrs))
    throw malformed('setErrs must be an object of errors, by the jti of events')
  const max = Math.min(eventsMax, maxEvents === undefined ? eventsMax : Number(maxEvents))
  return {
    max,
    // A receiver that takes none only tells (RFC 8936 §2.4.2).
    mayWait: returnImmediately !== true && max > 0,
    acknowledged: ack ?? [],
    errors: setErrs ?? {},
  }
}
