import type { Answer } from '../push/outgoing/post.ts'
import type { Outcome } from '../push/outgoing/kind.ts'
import { isObject } from '../values/json.ts'

/**
 * Errors that are of no one event (RFC 8935 §2.4): who sees to the receiver mends them, and then it takes
 * what it has not taken before.
 */
const mendable: readonly string[] = ['authentication_failed', 'access_denied', 'invalid_key']

const reasonLength = 200

/** What a receiver means by its answer to a push (RFC 8935 §2.2, §2.3). */
export function outcomeOf({ status, text }: Answer): Outcome {
  if (status === 202) return { kind: 'delivered' }
  const error = status === 400 ? setErrorOf(parse(text)) : undefined
  if (error) return { kind: mendable.includes(error.code) ? 'failed' : 'refused', reason: error.reason }
  return { kind: 'failed', reason: `it answered ${status}: 202 says that an event is taken (RFC 8935)` }
}

/** The error of an event, as its receiver tells it (RFC 8935 §2.3, RFC 8936 §2.6); undefined if none. */
export function setErrorOf(value: unknown): { readonly code: string; readonly reason: string } | undefined {
  if (!isObject(value)) return undefined
  const { err, description } = value
  if (typeof err !== 'string' || err === '') return undefined
  const said = typeof description === 'string' && description !== '' ? `${err}: ${description}` : err
  return { code: err, reason: said.replace(/[\s\p{Cc}\p{Cs}]+/gu, ' ').slice(0, reasonLength) }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined // a proxy has answered, for instance
  }
}
