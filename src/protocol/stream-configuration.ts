import { isIP } from 'node:net'
import { OAuthError } from '../errors.ts'
import { areTexts, isObject, parseJson } from '../values/json.ts'
import { isPublicAddress, type IsIn } from '../values/networks.ts'
import { isFetchedUrl } from './fetched-url.ts'
import { parseUuid } from './secrets.ts'
import { pollDelivery, pushDelivery } from './security-events.ts'

/** How a stream is delivered: pushed to an address (RFC 8935), or fetched (RFC 8936). */
export type StreamDelivery =
  | {
      readonly method: 'push'
      readonly endpointUrl: string
      /** The `Authorization` of each push; null for none, undefined where it stays. */
      readonly authorization: string | null | undefined
    }
  | { readonly method: 'poll' }

/** The parts of a stream that its receiver says (SSF 1.0 §8.1.1). */
export interface StreamSettings {
  readonly delivery: StreamDelivery
  /** URIs of event types, also of such as are not known here; null for all that there are. */
  readonly eventsRequested: readonly string[] | null
  readonly description: string | null
}

/** A longer description is cut. */
const descriptionLength = 200
export const reasonLength = 200
const urlLength = 2000
const headerLength = 4096
const eventsMax = 50
const eventLength = 200

/** The members of a JSON object. */
export type Members = Readonly<Record<string, unknown>>

/** The object that the body of a request is, in JSON. */
export function readObject(body: unknown): Members {
  if (typeof body !== 'string')
    throw new OAuthError('invalid_request', 'the body must be JSON: application/json', { status: 415 })
  const value = parse(body)
  if (!isObject(value)) throw malformed('the body must be a JSON object')
  return value
}

function parse(text: string): unknown {
  try {
    return parseJson(text)
  } catch {
    throw malformed('the body is not JSON') // where it breaks off would tell no more
  }
}

/** The stream that a request names; undefined where the text is no id of one. */
export function streamIdOf(value: unknown): Buffer | undefined {
  if (typeof value !== 'string' || value === '') throw malformed('stream_id is missing: it is a string')
  return parseUuid(value)
}

/** What a receiver says of a stream, as far as it says it. */
export function readSettings(members: Members, isAllowed: IsIn): Partial<StreamSettings> {
  const { delivery, events_requested: events, description } = members
  return {
    ...(delivery !== undefined && { delivery: readDelivery(delivery, isAllowed) }),
    ...(events !== undefined && { eventsRequested: readEvents(events) }),
    ...(description !== undefined && {
      description: readText(description, 'description', descriptionLength),
    }),
  }
}

function readDelivery(value: unknown, isAllowed: IsIn): StreamDelivery {
  if (!isObject(value)) throw malformed('delivery must be an object with a method')
  const { method, endpoint_url: endpointUrl, authorization_header: header } = value
  if (method === pollDelivery) return { method: 'poll' }
  if (method !== pushDelivery) throw malformed(`the method of delivery is ${pushDelivery} or ${pollDelivery}`)
  if (typeof endpointUrl !== 'string') throw malformed('endpoint_url is missing: it says where to push to')
  const urlProblem = endpointProblem(endpointUrl, isAllowed)
  if (urlProblem !== undefined) throw malformed(urlProblem)
  if (header === undefined) return { method: 'push', endpointUrl, authorization: undefined }
  if (header === null || header === '') return { method: 'push', endpointUrl, authorization: null }
  if (typeof header !== 'string' || !isAuthorization(header))
    throw malformed(`authorization_header is ${takesAuthorization}`)
  return { method: 'push', endpointUrl, authorization: header }
}

/** Why a URL cannot be pushed to; undefined if it may be. Its name may still lead to a private address. */
export function endpointProblem(text: string, isAllowed: IsIn): string | undefined {
  if (text.length > urlLength || !isFetchedUrl(text))
    return 'endpoint_url must be an https URL without a fragment or credentials'
  const name = new URL(text).hostname.replace(/^\[|\]$/g, '')
  const address = name === 'localhost' ? '127.0.0.1' : name
  if (isIP(address) !== 0 && !isPublicAddress(address) && !isAllowed(address))
    return 'endpoint_url leads to a private address, which this server does not push to'
  return undefined
}

export const takesAuthorization = 'the value of an Authorization header, such as Bearer followed by a token'

/** Whether a text can be the value of a header (RFC 9110 §5.5). */
export function isAuthorization(text: string): boolean {
  return text.length <= headerLength && /^[!-~](?:[ -~]*[!-~])?$/.test(text)
}

function readEvents(value: unknown): readonly string[] | null {
  if (value === null) return null
  if (!Array.isArray(value) || value.length > eventsMax || !value.every(isEventUri))
    throw malformed(`events_requested must be an array of at most ${eventsMax} URIs`)
  return [...new Set(value)]
}

const isEventUri = (value: unknown): value is string =>
  typeof value === 'string' && value.length <= eventLength && /^[!-~]+$/.test(value)

/** A text for people, cut to a length; null where there is none. */
export function readText(value: unknown, name: string, length: number): string | null {
  if (value === null || value === '') return null
  if (typeof value !== 'string' || !isPlain(value))
    throw malformed(`${name} must be a text without control characters`)
  return [...value].slice(0, length).join('')
}

/** Half a surrogate pair cannot be stored. */
const isPlain = (text: string) => !/[\p{Cc}\p{Cs}]/u.test(text)

export const takesText = `1 to ${descriptionLength} characters, none of them a control character`

/** Whether a text may describe a stream, say why it is paused, or be its audience. */
export function isText(text: string): boolean {
  return text !== '' && [...text].length <= descriptionLength && isPlain(text)
}

/** Refuses members of ours that are not as they are (SSF 1.0 §8.1.1.3). */
export function refuseOtherValues(members: Members, own: Members): void {
  for (const [name, value] of Object.entries(own)) {
    if (name in members && textOf(members[name]) !== textOf(value))
      throw malformed(`${name} is not as it is here, and cannot be changed`)
  }
}

/** The same for the same values; the order of a list of texts does not count. */
const textOf = (value: unknown) => JSON.stringify(areTexts(value) ? value.toSorted() : value)

export const malformed = (description: string) => new OAuthError('invalid_request', description)
