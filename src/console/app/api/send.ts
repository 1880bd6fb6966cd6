import { signal } from '@preact/signals'
import { leaveForLogIn, type Demand, type Draft } from '../auth/log-in.ts'
import { makeProof, readClock } from '../auth/proof.ts'
import { accessToken, forgetAccessToken } from '../auth/tokens.ts'
import { Problem } from './problem.ts'

/** Whether the last request has reached the server. */
export const isConnected = signal(true)

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
        await stepUp({ maxAge: member('max_age'), acr: member('acr_values') })
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
  return fetch(sent)
}

async function stepUp(demand: Demand): Promise<never> {
  return leaveForLogIn(demand, draftOf())
}

/** Secrets, and files, which no page may fill in. */
const notKept = ['password', 'file']

/** What was filled into the form that is open. */
function draftOf(): Draft | undefined {
  const form = document.querySelector<HTMLFormElement>('dialog[open] form')
  if (!form) return undefined
  const fields = [...form.elements].filter(
    (field): field is HTMLInputElement =>
      'name' in field && field.name !== '' && 'type' in field && !notKept.includes(String(field.type)),
  )
  return Object.fromEntries(
    fields.map(field => [field.name, field.type === 'checkbox' ? String(field.checked) : field.value]),
  )
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
