import { once } from 'node:events'
import { connect } from 'node:net'
import fc from 'fast-check'
import { canary, type Loot } from './loot.ts'
import { requests } from './requests.ts'

export interface FuzzOptions {
  /** The origin that the server listens at. */
  readonly url: string
  readonly loot: Loot
  /** The same seed makes the same requests. */
  readonly seed: number
  /** How many requests, or fewer where the time is over before. */
  readonly runs: number
  readonly milliseconds: number
  /** Called before each request, with how many there were. */
  readonly onRun?: (done: number) => void
}

/** Longer than any answer takes, on the slowest machine. */
const patienceMs = 20_000
const silence = '(silence)'

/**
 * Sends requests that no client should, each over a connection of its own, and looks at what comes back.
 * Rejects with the smallest request it can find that is answered wrongly, and with the seed; resolves with
 * how many answers there were of each status (0: the connection was closed without one).
 */
export async function fuzz(options: FuzzOptions): Promise<ReadonlyMap<number, number>> {
  const { url, loot, seed, runs, milliseconds, onRun } = options
  const statuses = new Map<number, number>()
  let done = 0
  const property = fc.asyncProperty(requests(loot), async bytes => {
    onRun?.(done++)
    const answer = await exchange(url, bytes)
    const problem = problemOf(answer, bytes)
    if (problem !== undefined) throw new Error(`${problem}\n${printable(bytes)}\n→\n${printable(answer)}`)
    const status = statusOf(answer)
    statuses.set(status, (statuses.get(status) ?? 0) + 1)
  })
  const { failed, errorInstance } = await fc.check(property, {
    seed,
    numRuns: runs,
    interruptAfterTimeLimit: milliseconds,
    markInterruptAsFailure: false,
  })
  // Of the last one tried, which is the smallest.
  if (failed)
    throw new Error(`with --seed ${seed}: ${errorInstance instanceof Error ? errorInstance.message : ''}`)
  return statuses
}

/** Writes the bytes and nothing after them; all that comes back until the connection is closed. */
async function exchange(url: string, bytes: Buffer): Promise<Buffer> {
  const { hostname, port } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port) })
  const chunks: Buffer[] = []
  socket.on('data', chunk => chunks.push(chunk))
  // A server that has heard enough may close while we write.
  socket.on('error', () => {})
  socket.setTimeout(patienceMs, () => {
    chunks.push(Buffer.from(silence))
    socket.destroy()
  })
  socket.end(bytes)
  await once(socket, 'close')
  return Buffer.concat(chunks)
}

/** 0 when there is none: it was no request, and the connection is gone. */
function statusOf(answer: Buffer): number {
  return Number(/^HTTP\/1\.1 (\d{3}) /.exec(answer.toString('latin1'))?.[1] ?? 0)
}

/** What is wrong with an answer; undefined when nothing is. */
function problemOf(answer: Buffer, request: Buffer): string | undefined {
  const text = answer.toString()
  if (text.endsWith(silence)) return 'the server does not answer, and does not close'
  // Where the body of a request is not what its head has said, its rest is one more that is malformed.
  const answers = text.split(/(?=HTTP\/1\.1 \d{3} )/).filter(one => one !== '')
  const mayBe501 = request.toString('latin1').includes('?time=')
  return answers.map(one => problemOfOne(one, mayBe501)).find(problem => problem !== undefined)
}

function problemOfOne(text: string, mayBe501: boolean): string | undefined {
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(text)?.[1] ?? 0)
  if (status === 0) return 'the answer is not HTTP'
  if (status >= 500 && !(status === 501 && mayBe501)) return 'a fault of ours'
  if (text.includes(canary)) return 'the answer echoes the request'
  const [head = '', body = ''] = text.split('\r\n\r\n')
  if (/^(server|x-powered-by|set-cookie):/im.test(head)) return 'a header that has no place here'
  if (status < 400 || body === '') return undefined
  return isOAuthError(body) ? undefined : 'the error is not that of RFC 6749 §5.2'
}

function isOAuthError(body: string): boolean {
  try {
    const { error, error_description, ...rest } = JSON.parse(body)
    const isPlain = /^[\x20\x21\x23-\x5b\x5d-\x7e]+$/.test(error_description)
    return /^[a-z_]+$/.test(error) && isPlain && Object.keys(rest).length === 0
  } catch {
    return false
  }
}

function printable(bytes: Buffer): string {
  return bytes
    .toString('latin1')
    .replace(/[^\x20-\x7e\r\n]/g, char => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`)
}
