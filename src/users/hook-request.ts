import { lookup as lookUp, type LookupAddress } from 'node:dns'
import type { IncomingMessage } from 'node:http'
import { isIP, type LookupFunction } from 'node:net'
import { bodyOf } from '../clients/fetch-json.ts'
import { responseTo } from '../clients/response-to.ts'
import type { HookAddress } from '../config/password-hook.ts'
import { isObject } from '../values/json.ts'
import { fewRandomBytes } from '../values/random.ts'
import { hmacSha256 } from '../values/sha256.ts'

/** So long a call may take: names, connection, and the last byte. */
export const callSeconds = 3

export interface Credentials {
  readonly username: string
  readonly password: string
}

/** What an old system says of a user; undefined where name or password is wrong there. */
export type HookAnswer = Readonly<Record<string, unknown>> | undefined

/** The old system has not said whether it is the password. The message is for logs: no answer is in it. */
export class HookError extends Error {
  override readonly name = 'HookError'
}

/**
 * Asks an old system whether it is the user's password, in one request that is signed as Standard Webhooks
 * says. No redirect is followed. The operator has chosen the URL, so it may lead to a private address. Throws
 * a `HookError` in time.
 */
export async function askHook(
  { url, key }: HookAddress,
  { username, password }: Credentials,
  { now, seconds = callSeconds }: { readonly now: number; readonly seconds?: number },
): Promise<HookAnswer> {
  const body = Buffer.from(JSON.stringify({ username, password }))
  const signal = AbortSignal.timeout(seconds * 1000)
  try {
    const response = await post(new URL(url), { body, signal, headers: signatureOf(key, body, now) })
    return answerOf(await bodyOf(response))
  } catch (error) {
    throw new HookError(signal.aborted ? `it has not answered within ${seconds} seconds` : reasonOf(error))
  }
}

/** A name and a password that are no user's. */
export function madeUpCredentials(): Credentials {
  const random = () => fewRandomBytes(12).toString('base64url')
  return { username: `nobody-${random()}`, password: random() }
}

/** The headers of Standard Webhooks. An id is used once, so that a replayed request can be told. */
function signatureOf(key: Buffer, body: Buffer, now: number): Readonly<Record<string, string>> {
  const id = fewRandomBytes(16).toString('base64url')
  const signed = Buffer.concat([Buffer.from(`${id}.${now}.`), body])
  return {
    'webhook-id': id,
    'webhook-timestamp': String(now),
    'webhook-signature': `v1,${hmacSha256(key, signed).toString('base64')}`,
  }
}

async function post(
  url: URL,
  {
    body,
    signal,
    headers,
  }: {
    readonly body: Buffer
    readonly signal: AbortSignal
    readonly headers: Readonly<Record<string, string>>
  },
): Promise<IncomingMessage> {
  // Only now: they would be a tenth of the time that every start takes.
  const client = await (url.protocol === 'https:' ? import('node:https') : import('node:http'))
  const options = {
    ...{ method: 'POST', agent: false, lookup, signal, maxHeaderSize: 16 * 1024 },
    headers: {
      ...headers,
      'content-type': 'application/json',
      'content-length': body.length,
      accept: 'application/json',
      'accept-encoding': 'identity',
      'user-agent': 'mintmark',
    },
  }
  return responseTo(client.request(url, options).end(body))
}

const lookups = new Map<string, Promise<readonly LookupAddress[]>>()

/**
 * The system's resolver, since an old system may have its name in /etc/hosts alone. It holds a thread of the
 * pool for as long as it has no answer, and passwords need these: so all calls share one.
 */
const lookup: LookupFunction = (name, { all }, callback) => {
  let found = lookups.get(name)
  if (!found) {
    found = new Promise<readonly LookupAddress[]>((resolve, reject) =>
      lookUp(name, { all: true }, (error, addresses) => (error ? reject(error) : resolve(addresses))),
    ).finally(() => lookups.delete(name))
    lookups.set(name, found)
  }
  found.then(
    addresses =>
      all
        ? callback(null, [...addresses])
        : callback(null, addresses[0]?.address ?? '', isIP(addresses[0]?.address ?? '')),
    (error: NodeJS.ErrnoException) => callback(error, '', 0),
  )
}

function answerOf(text: string): HookAnswer {
  const answer = parsed(text)
  if (!isObject(answer)) throw new HookError('the answer is no JSON object')
  const { authenticated, ...members } = answer
  if (typeof authenticated !== 'boolean')
    throw new HookError('the answer does not say authenticated true or false')
  return authenticated ? members : undefined
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined // its error shows the text, which may have the password in it
  }
}

/** Errors of the system are told by their code alone: some have what was received in them. */
function reasonOf(error: unknown): string {
  const { code, message }: { code?: unknown; message?: unknown } = Object(error)
  return typeof code === 'string' ? `it cannot be asked (${code})` : String(message)
}
