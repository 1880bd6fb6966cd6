import { signal } from '@preact/signals'
import { leaveForLogIn } from '../auth/log-in.ts'
import { makeProof, readClock } from '../auth/proof.ts'
import { accessToken, forgetAccessToken } from '../auth/tokens.ts'
import { Problem } from './problem.ts'

/** Whether the last request has reached the server. */
export const isConnected = signal(true)

/** What is said as long as it has not. */
export const noConnection = 'There is no connection to the server. Trying again…'

/** Whether the person who is logged in may administer at all. */
export const isAdministrator = signal(true)

/** Seconds between attempts, while there is no connection. */
const waits = [1, 2, 4, 8]

/**
 * Sends a request of the admin API with a token and a proof. Where the connection is lost, a request that
 * may be sent twice waits for it. Where the server wants a newer or a stronger log-in (RFC 9470), leaves for
 * that.
 */
export async function send(request: Request): Promise<Response> {
  const isPost = request.method === 'POST'
  if (isPost) request.headers.set('idempotency-key', crypto.randomUUID())
  const isRepeatable = isPost || request.method === 'GET'
  for (let attempt = 0, refusals = 0; ; attempt++) {
    const response = await attemptOf(request).catch((error: unknown) => {
      if (!(error instanceof TypeError)) throw error
      isConnected.value = false
      return undefined
    })
    if (!response) {
      if (!isRepeatable) throw new Problem({ status: 0, code: 'lost', detail: 'The connection was lost.' })
      await pause(waits[Math.min(attempt, waits.length - 1)] ?? 0, request.signal)
      continue
    }
    isConnected.value = true
    if (response.status === 503 && isRepeatable && attempt < 3 && response.headers.has('retry-after')) {
      await pause(Number(response.headers.get('retry-after')), request.signal)
      continue
    }
    const challenge = response.headers.get('www-authenticate') ?? ''
    if (response.status === 401) {
      const member = (name: string) => new RegExp(`\\b${name}="?([^",]+)`).exec(challenge)?.[1]
      if (member('error') === 'insufficient_user_authentication')
        await leaveForLogIn({ maxAge: member('max_age'), acr: member('acr_values') })
      readClock(response)
      forgetAccessToken()
      // A token that was made a moment ago is not refused for its age: another log-in would change nothing.
      if (++refusals > 2) return response
      continue
    }
    // Where a scope is lacking, it is named; no scope helps a person without the role.
    isAdministrator.value = response.status !== 403 || !isOfNoAdministrator(challenge)
    return response
  }
}

function isOfNoAdministrator(challenge: string): boolean {
  return /\berror="insufficient_scope"/.test(challenge) && !/\bscope="/.test(challenge)
}

async function attemptOf(request: Request): Promise<Response> {
  const token = await accessToken()
  const { method, url } = request
  const sent = request.clone()
  sent.headers.set('authorization', `DPoP ${token}`)
  sent.headers.set('dpop', await makeProof({ method, url, accessToken: token }))
  const response = await fetch(sent)
  if (isOfProxy(response)) throw new TypeError('a proxy has answered, as the server is away')
  return response
}

/** Whether a proxy has answered in the place of the server, all of whose own faults are 503 in JSON. */
function isOfProxy({ status, headers }: Response): boolean {
  return status > 503 || (status >= 500 && !/\bjson\b/.test(headers.get('content-type') ?? ''))
}

/** Until time is up, or the browser says that it is connected again. */
function pause(seconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = new AbortController()
    const done = () => (end.abort(), resolve())
    const timer = setTimeout(done, seconds * 1000)
    const options = { once: true, signal: end.signal }
    window.addEventListener('online', done, options)
    signal.addEventListener('abort', () => (end.abort(), reject(signal.reason)), options)
    end.signal.addEventListener('abort', () => clearTimeout(timer))
  })
}
