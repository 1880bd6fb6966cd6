import type { Caller, EndlessCaller } from './load.ts'
import { basic } from './mintmark.ts'

export const connections = 64

export const headers = { 'content-type': 'application/x-www-form-urlencoded', authorization: basic }

/** Posts the same again and again; `check` throws on an answer that is not right. */
export function posting(
  path: string,
  body: string,
  check: (answer: Record<string, unknown>) => boolean,
  withHeaders: Readonly<Record<string, string>> = headers,
): EndlessCaller {
  return {
    next: () => ({ method: 'POST', path, headers: withHeaders, body }),
    answered: (status, text) => {
      if (status !== 200 || !check(JSON.parse(text))) throw new Error(`${path} answered ${status} ${text}`)
    },
  }
}

/** Each answer gives the token of the next request, as an app's do. */
export function refreshing(refreshToken: string): EndlessCaller {
  let token = refreshToken
  return {
    next: () => ({
      method: 'POST',
      path: '/token',
      headers,
      body: `grant_type=refresh_token&refresh_token=${token}`,
    }),
    answered: (status, text) => {
      token = newToken(status, text, token)
    },
  }
}

/** Cut out of the answer to a refresh, since reading all of it takes a tenth of what the load does. */
function newToken(status: number, text: string, old: string | undefined): string {
  const token = /"refresh_token":"([^"]+)"/.exec(text)?.[1]
  if (status !== 200 || !token || token === old) throw new Error(`/token answered ${status} ${text}`)
  return token
}

/** Gets the same again and again. */
export function getting(path: string, withHeaders: Record<string, string> = {}): Caller {
  return {
    next: () => ({ method: 'GET', path, headers: withHeaders }),
    answered: status => {
      if (status !== 200) throw new Error(`${path} answered ${status}`)
    },
  }
}

/** Gets what it has already; when there is something new, it takes that. */
export function revalidating(path: string): Caller {
  let etag = ''
  return {
    next: () => ({ method: 'GET', path, headers: { 'if-none-match': etag } }),
    answered: (status, _body, header) => {
      const received = header('etag')
      if (received === undefined) throw new Error(`${path} answered ${status} without an ETag`)
      etag = received
    },
  }
}

/**
 * Refreshes its share of the sessions in random order, each with the newest token it had. `tokens` are kept
 * up to date.
 */
export function wandering(tokens: string[], first: number, step: number): Caller {
  let at = 0
  return {
    next: () => {
      at = first + step * Math.floor((Math.random() * tokens.length) / step)
      if (at >= tokens.length) at = first
      const body = `grant_type=refresh_token&refresh_token=${tokens[at]}`
      return { method: 'POST', path: '/token', headers, body }
    },
    answered: (status, text) => {
      tokens[at] = newToken(status, text, tokens[at])
    },
  }
}

/** One caller for each connection. */
export const each = (make: (i: number) => Caller): Caller[] =>
  Array.from({ length: connections }, (_, i) => make(i))

export const isActive = (answer: Record<string, unknown>): boolean => answer['active'] === true
export const hasToken = (answer: Record<string, unknown>): boolean =>
  typeof answer['access_token'] === 'string'

export const bareCallers = (): Caller[] =>
  each(() => posting('/token', `grant_type=refresh_token&refresh_token=${'x'.repeat(88)}`, hasToken))

/** The access token of a grant. */
export async function freshToken(url: string, grant: string): Promise<string> {
  const response = await fetch(`${url}/token`, { method: 'POST', headers, body: grant })
  const answer = (await response.json()) as { access_token: string }
  return answer.access_token
}
