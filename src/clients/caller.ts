import parseForwarded from 'forwarded-parse'
import type { RequestOrigin } from '../record/actor.ts'
import { addressOf, networkOf, normalAddress } from '../values/addresses.ts'
import type { Client } from './registry.ts'

/** Where a request comes from, as far as it can be believed. */
export interface Caller extends RequestOrigin {
  /** Guesses are counted by it; undefined for a client through which all users come from one address. */
  readonly source: string | undefined
}

/** A request, as Fastify knows it. */
export interface IncomingRequest {
  readonly id: string
  /** Of the last machine that is no trusted proxy. */
  readonly ip: string
  /** With trusted proxies: those of them that the request came through, and `ip`. */
  readonly ips?: string[] | undefined
  readonly headers: {
    readonly authorization?: string | undefined
    readonly forwarded?: string | undefined
    /** Only from a proxy that is believed: src/http/proxy-fields.ts takes it out of all other requests. */
    readonly 'client-cert'?: string | string[] | undefined
  }
}

/**
 * Where a request of an authenticated client comes from. A public client runs on its user's device. A
 * confidential one runs on a server, and only if it forwards its users' addresses (RFC 7239) can they be told
 * apart.
 */
export function callerOf(request: IncomingRequest, client: Client): Caller {
  if (client.auth_method === 'none') return deviceCaller(request)
  const requestId = request.id
  const user = client.forwards_user_address === 1 ? forwardedAddress(request) : undefined
  return user === undefined
    ? { requestId, address: normalAddress(request.ip), source: undefined }
    : { requestId, address: user, source: networkOf(user) }
}

/** Where a request of a user's own device comes from: of a public client, or of a browser. */
export function deviceCaller({ id: requestId, ip }: Pick<IncomingRequest, 'id' | 'ip'>): Caller {
  const address = normalAddress(ip)
  return { requestId, address, source: networkOf(address) }
}

/**
 * The address that the client has forwarded: the last one that is neither its own nor that of a proxy between
 * it and here, which may have added it. Undefined when that is no address, or the header is malformed.
 */
function forwardedAddress({ ip, ips = [], headers }: IncomingRequest): string | undefined {
  const { forwarded } = headers
  if (forwarded === undefined) return undefined
  const between = new Set([ip, ...ips].map(normalAddress))
  try {
    return parseForwarded(forwarded)
      .map(element => addressOf(element['for'] ?? ''))
      .findLast(address => address === undefined || !between.has(address))
  } catch {
    return undefined // it is not what RFC 7239 §4 describes, so it says nothing
  }
}
