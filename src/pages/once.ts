import type { FastifyReply, FastifyRequest } from 'fastify'
import { browserCaller, doOnce, type KeptAnswer } from '../admin/kept-answers.ts'
import { Refusal, unavailable } from '../errors.ts'
import { logOf } from '../http/request-log.ts'
import { formOf } from '../protocol/form.ts'
import { openSignInCookie } from '../protocol/sign-in-cookie.ts'
import { hmacSha256 } from '../values/sha256.ts'
import { knownBrowserOf } from './proceed.ts'
import type { Visit } from './visit.ts'

/*
 * A double click sends a form twice, and browsers drop the first answer. Where that had a new cookie, or
 * codes that are shown once, the second form comes with a cookie that is dead, or a code that was used. So it
 * waits for the first one, and gets the very same answer, on whichever instance it arrives.
 */

/** So long after the first form the second one gets its answer, in seconds. */
const sameSeconds = 30

/** How long a form waits for an equal one, and between two looks at it, in seconds. */
const waitSeconds = 10
const lookSeconds = 0.1

/** Of all headers, those that an answer has of its own. */
const ownHeaders = ['content-security-policy', 'content-type', 'location', 'set-cookie'] as const

interface Sent {
  readonly status: number
  readonly headers: Readonly<Record<string, string | number | string[] | undefined>>
  readonly body: string
}

/** An answer as it is kept: sealed, for it has secrets. */
interface Kept extends Sent {
  /** When it was given, by the database's clock. */
  readonly at: number
}

/** The requests whose answer is to be kept, and by which function. */
const waiting = new WeakMap<FastifyRequest, (sent: Sent) => void>()

/** A hook for `onSend`, after that of the cookies. */
export function noteSent(
  request: FastifyRequest,
  reply: FastifyReply,
  payload: unknown,
  done: () => void,
): void {
  const tell = waiting.get(request)
  if (tell) {
    const headers = Object.fromEntries(ownHeaders.map(name => [name, reply.getHeader(name)]))
    tell({ status: reply.statusCode, headers, body: typeof payload === 'string' ? payload : '' })
  }
  done()
}

/** An answer that a second form can do without: that one goes its own way. */
class NotKept extends Error {}

/**
 * Does what a form asks for, unless the same browser has sent the same form just before: then its answer is
 * given once more. `of` tells equal forms apart whose senders differ: the sign-in, or for a form that has an
 * authorization request, which is of one browser, nothing.
 */
export async function onceInBrowser(visit: Visit, of: string, work: () => Promise<void>): Promise<void> {
  const { ctx, request, reply } = visit
  const key = keyOf(visit, of)
  if (key === undefined) return work()
  const act = async (): Promise<KeptAnswer> => {
    const sent = Promise.withResolvers<Sent>()
    waiting.set(request, sent.resolve)
    await work()
    const answer = await sent.promise
    if (!isNeeded(visit, answer)) throw new NotKept()
    return { status: answer.status, text: JSON.stringify({ at: ctx.clock.now(), ...answer } satisfies Kept) }
  }
  try {
    const { answer, isRepeated } = await waitFor(visit, () =>
      doOnce({ ...ctx, log: logOf(request) }, { caller: browserCaller, key, content: '' }, act),
    )
    if (!isRepeated) return
    const { at, status, headers, body } = JSON.parse(answer.text ?? '') as Kept
    if (Math.abs(ctx.clock.now() - at) >= sameSeconds) return await work()
    void reply.code(status).headers(headers).send(body)
  } catch (error) {
    if (!(error instanceof NotKept)) throw error
  }
}

/** What a second form could not get again: a cookie of the sign-in, or a page that is shown once. */
function isNeeded({ pages }: Visit, { status, headers }: Sent): boolean {
  const cookies = [headers['set-cookie'] ?? []].flat().map(String)
  return status === 200 || cookies.some(cookie => cookie.startsWith(`${pages.cookies.signIn.name}=mm_`))
}

/** Under a root key: a hash of a body with a password would let a thief guess that. */
function keyOf(visit: Visit, of: string): string | undefined {
  const { ctx, request } = visit
  const browser = knownBrowserOf(visit)
  const key = ctx.rootKeys.derive('form of a browser', ctx.rootKeys.currentId)
  if (browser === undefined || !key) return undefined
  const form = [...formOf(request.body)]
  return hmacSha256(key, JSON.stringify([browser, of, request.url, form])).toString('base64url')
}

/** The id of the sign-in of a cookie that was made here, be it dead by now; undefined for any other. */
export function signInOf({ ctx, pages, request }: Visit): string | undefined {
  const opened = openSignInCookie(ctx.rootKeys.signInKeyOf, pages.cookies.signIn.read(request) ?? '')
  return opened.kind === 'genuine' ? opened.cookie.signInId.toString('base64url') : undefined
}

async function waitFor<Result>({ ctx: { clock } }: Visit, ask: () => Promise<Result>): Promise<Result> {
  const end = clock.steady() + waitSeconds
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      if (!(error instanceof Refusal && error.code === 'under_way')) throw error
      if (clock.steady() >= end) throw unavailable('an equal form of the same browser is under way')
      await clock.pause(lookSeconds)
    }
  }
}
