import type { FastifyInstance } from 'fastify'
import type { NoRequester } from '../clients/open-clients.ts'
import type { Client } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import { openValue, sealValue } from '../keys/sealed.ts'
import type { Pages } from './pages.ts'
import { messageView, type MessageData } from './views/message.ts'
import { namesOf, pageHandler, queryOf, redirectTo, type Visit } from './visit.ts'

export type MessageOptions = Omit<MessageData, 'client'> & {
  readonly status: number
  readonly client?: Client | undefined
  readonly uiLocales?: readonly string[] | undefined
}

/** As it travels in an address, if it does. */
type Message = Omit<MessageOptions, 'client'> & Pick<MessageData, 'client'>

/** How long it is told at its address, in seconds: as long as anything that goes on through pages. */
const messageSeconds = 1800

/** GET /message: what a form was answered. */
export function messagePage(app: FastifyInstance, ctx: Context, pages: Pages): void {
  app.get('/message', pageHandler(ctx, pages, show))
}

/**
 * Shows a page that only says something. The answer to a form leads to it, so that loading it again, or going
 * back to it, sends nothing.
 */
export function showMessage(visit: Visit, options: MessageOptions): void {
  const message = messageOf(options)
  if (visit.request.method !== 'POST') return say(visit, message)
  const { config, rootKeys, clock } = visit.ctx
  const text = sealValue(rootKeys, 'message', config.issuer, { message, at: clock.now() })
  redirectTo(visit, `${config.issuer}/message?text=${text}`)
}

/**
 * The same as the answer itself, for who sends a request of a client: one that cannot be answered is never
 * redirected (RFC 6749 §3.1.2.4), and sent again it does no more than before.
 */
export function showRefusal(visit: Visit, options: MessageOptions): void {
  say(visit, messageOf(options))
}

/** Says why there is no client that could be answered. */
export function showNoClient(
  visit: Visit,
  why: NoRequester | undefined,
  uiLocales: readonly string[] = [],
): void {
  showMessage(visit, { kind: 'client_unknown', status: 400, uiLocales, ...why })
}

function messageOf({ client, ...said }: MessageOptions): Message {
  return { ...said, client: client ? namesOf(client) : null }
}

async function show(visit: Visit): Promise<void> {
  const { ctx } = visit
  const content = await openValue(ctx, 'message', ctx.config.issuer, queryOf(visit, 'text') ?? '')
  if (!content) return say(visit, { kind: 'no_request', status: 400 })
  // Only we can have sealed it.
  const { message, at } = content as unknown as { readonly message: Message; readonly at: number }
  if (Math.abs(ctx.clock.now() - at) >= messageSeconds)
    return say(visit, { kind: 'request_expired', status: 400 })
  say(visit, message)
}

function say({ pages, request, reply }: Visit, { status, uiLocales = [], ...data }: Message): void {
  void pages.show(request, reply, frame => messageView(frame, data), { status, uiLocales })
}
