import { openEnded, type TokenOfSession } from './ended.ts'
import { readEvents } from '../values/event-source.ts'
import type { ClientOfApi, Settings } from './settings.ts'

/** What the issuer tells of, as it happens. */
export interface Push {
  /** Whether the session of a token is known to have ended. */
  hasEnded(claims: TokenOfSession): boolean
  close(): void
}

export interface PushTimes {
  /** How long the answer may take to begin, in milliseconds. A proxy that keeps it never lets it begin. */
  readonly beginning: number
  /** How long there may be no sign of life: the issuer gives one every 15 seconds. */
  readonly silence: number
  /**
   * How long it is waited after the first failure; twice as long after each further one, up to `retryMax`. A
   * stream that lasts no longer has failed, too.
   */
  readonly retry: number
  readonly retryMax: number
}

const usualTimes: PushTimes = { beginning: 10_000, silence: 40_000, retry: 1000, retryMax: 30_000 }

/**
 * Follows the issuer's stream of events until it is closed: connects again whenever it is cut off, and goes
 * on where it was. `onReset` is told when it has missed what cannot be told any more.
 */
export function followEvents(settings: Settings, onReset: () => void, times: PushTimes = usualTimes): Push {
  const { issuer, fetch, now, onPush } = settings
  const ended = openEnded(now)
  const closing = new AbortController()
  let lastEventId = ''
  let isLive = false
  let failures = 0

  const tell = (live: boolean, cause?: unknown) => {
    if (live === isLive) return
    isLive = live
    attempt(() => onPush?.(live, cause))
  }
  /** Resolves when the other side has ended the stream; with an error, where that was no ordinary end. */
  const listen = async (): Promise<unknown> => {
    const { signal, within, done } = deadline(closing.signal)
    let begunAt: number | undefined
    try {
      within(times.beginning)
      const response = await fetch(`${issuer}/events`, {
        headers: {
          accept: 'text/event-stream',
          authorization: await unlessAborted(authorizationOf(settings.client), signal),
          ...(lastEventId !== '' && { 'last-event-id': lastEventId }),
        },
        redirect: 'error',
        signal,
      })
      if (!response.ok || !response.body) throw new Error(`${issuer}/events answered ${response.status}`)
      const reader = readEvents(event => {
        if (event.event === 'reset') onReset()
        else ended.learn(event)
      }, lastEventId)
      for await (const chunk of response.body) {
        within(times.silence)
        reader.take(chunk)
        lastEventId = reader.lastEventId()
        begunAt ??= performance.now()
        tell(true)
      }
      return lasted(begunAt) ? undefined : new Error(`${issuer}/events has ended at once`)
    } catch (error) {
      return error ?? new Error('the stream was cut off')
    } finally {
      if (lasted(begunAt)) failures = 0
      done()
    }
  }
  const lasted = (begunAt = Infinity) => performance.now() - begunAt > times.retry
  const follow = async () => {
    while (!closing.signal.aborted) {
      const cause = await listen()
      if (closing.signal.aborted) return
      // Not all that are cut off at once come back at once.
      const share = 0.5 + 0.5 * Math.random()
      if (cause === undefined) {
        // Streams end by themselves from time to time, and go on at once: that is not worth a word.
        await pause(0.1 * share * times.retry, closing.signal)
      } else {
        tell(false, cause)
        await pause(share * Math.min(times.retryMax, times.retry * 2 ** failures++), closing.signal)
      }
    }
  }
  void follow()
  return {
    hasEnded: ended.hasEnded,
    close: () => closing.abort(),
  }
}

/** An error of the API's own, when it is told, must end neither the following nor its process. */
function attempt(tell: () => void): void {
  try {
    tell()
  } catch {
    // It is the API's to handle.
  }
}

async function authorizationOf(client: ClientOfApi | undefined): Promise<string> {
  if (!client) throw new Error('unreachable: without a client nothing is followed')
  if ('accessToken' in client) return `Bearer ${await client.accessToken()}`
  const credentials = `${encodeURIComponent(client.id)}:${encodeURIComponent(client.secret)}`
  return `Basic ${Buffer.from(credentials).toString('base64')}`
}

/** The result of a work that may take any time; with the signal, its reason is thrown. */
function unlessAborted<Result>(work: Promise<Result>, signal: AbortSignal): Promise<Result> {
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    work.then(resolve, reject)
  })
}

/** A signal that is given once a time is over that can be set anew. */
function deadline(closing: AbortSignal) {
  const controller = new AbortController()
  const abort = () => controller.abort(closing.reason)
  closing.addEventListener('abort', abort)
  if (closing.aborted) abort()
  let timer: NodeJS.Timeout | undefined
  return {
    signal: controller.signal,
    within: (milliseconds: number) => {
      clearTimeout(timer)
      timer = setTimeout(() => controller.abort(new Error('there was no sign of life')), milliseconds)
      timer.unref()
    },
    done: () => {
      clearTimeout(timer)
      closing.removeEventListener('abort', abort)
      // The rest of an answer that is not wanted.
      controller.abort()
    },
  }
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const end = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, milliseconds)
    timer.unref()
    signal.addEventListener('abort', end)
  })
}
