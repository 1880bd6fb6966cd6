import { isObject } from '../values/json.ts'

/** A browser's answer to a challenge (WebAuthn Level 3 §5.1), as far as it is read before it is verified. */
export interface Answer {
  /** Of the credential, in base64url. */
  readonly id: string
  readonly clientData: ClientData
  /** The user that the passkey says it is of; undefined where it says none, null for what is no text. */
  readonly userHandle: string | null | undefined
  /** All of it. */
  readonly json: Readonly<Record<string, unknown>>
  /** What the authenticator has given for it. */
  readonly response: Readonly<Record<string, unknown>>
}

/** What the browser says (§5.8.1). */
export interface ClientData {
  readonly type: unknown
  readonly challenge: string
  readonly origin: unknown
  /** Whether it comes out of a frame in a page of somebody else: ours may not be framed. */
  readonly isCrossOrigin: boolean
  /** As it was sent. */
  readonly bytes: Buffer
}

/** Longer ids are no credentials' (§4). */
const idBytesMax = 1023

/** Reads an answer; undefined for any other text. */
export function readAnswer(text: string): Answer | undefined {
  const json = parseObject(text)
  const response = json?.['response']
  if (!json || !isObject(response)) return undefined
  const { id, rawId, type } = json
  const idBytes = bytesOf(id)
  if (typeof id !== 'string' || !idBytes || idBytes.length > idBytesMax) return undefined
  const clientData = readClientData(response['clientDataJSON'])
  if (!clientData || rawId !== id || type !== 'public-key') return undefined
  const { userHandle } = response
  return {
    id,
    clientData,
    userHandle: userHandle === undefined || typeof userHandle === 'string' ? userHandle : null,
    json,
    response,
  }
}

function readClientData(encoded: unknown): ClientData | undefined {
  const bytes = bytesOf(encoded)
  const json = bytes && parseObject(bytes.toString())
  if (!json || typeof json['challenge'] !== 'string') return undefined
  const { type, challenge, origin, crossOrigin, topOrigin } = json
  const isCrossOrigin = (crossOrigin !== undefined && crossOrigin !== false) || topOrigin !== undefined
  return { type, challenge, origin, isCrossOrigin, bytes }
}

/** Where an answer has to come from. */
export interface Expected {
  /** Of the issuer. */
  readonly origin: string
  readonly rpId: string
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : undefined
  } catch {
    return undefined // it is not JSON
  }
}

/** Of base64url, in the one spelling that it has. */
export function bytesOf(text: unknown): Buffer | undefined {
  if (typeof text !== 'string') return undefined
  const bytes = Buffer.from(text, 'base64url')
  return bytes.length > 0 && bytes.toString('base64url') === text ? bytes : undefined
}
