import type { FastifyInstance } from 'fastify'
import { enterUserCode } from '../authorization/devices.ts'
import { fresh } from '../authorization/requests.ts'
import { deviceCaller } from '../clients/caller.ts'
import type { Context } from '../context.ts'
import { formOf } from '../protocol/form.ts'
import { formatUserCode, readUserCode } from '../protocol/user-code.ts'
import { draftOf, leadBack } from './drafts.ts'
import type { Pages } from './pages.ts'
import { knownBrowserOf, proceed } from './proceed.ts'
import type { UserCodeProblem } from './texts/texts.ts'
import { deviceView } from './views/device.ts'
import { pageHandler, queryOf, type Visit } from './visit.ts'

/**
 * GET and POST /device: where a person types the code that a device shows (RFC 8628 §3.3). With
 * `verification_uri_complete` it is there already, and still has to be sent on.
 */
export function devicePage(app: FastifyInstance, ctx: Context, pages: Pages): void {
  app.get('/device', pageHandler(ctx, pages, show))
  app.post('/device', pageHandler(ctx, pages, enter))
}

async function show(visit: Visit): Promise<void> {
  const { pages, request, reply } = visit
  const { typed = queryOf(visit, 'user_code') ?? '', problem = null, wait } = await draftOf(visit)
  const code = readUserCode(typed)
  const data = {
    // A slip stays as it was typed, but nothing else that came in a link.
    typed: code === undefined ? (problem === null ? '' : typed) : formatUserCode(code),
    problem: problem as UserCodeProblem | null,
    retryAfter: wait === undefined ? undefined : Number(wait),
  }
  const status = problem === null ? 200 : problem === 'throttled' ? 429 : 400
  void pages.show(request, reply, frame => deviceView(frame, data), { status })
}

/** So much of what was typed stands in the form that is shown again. */
const typedMax = 40

async function enter(visit: Visit): Promise<void> {
  const { ctx, request } = visit
  const typed = formOf(request.body).get('user_code') ?? ''
  const browser = knownBrowserOf(visit)
  const entered = await enterUserCode(ctx, { typed, browser, caller: deviceCaller(request) })
  if (!('problem' in entered)) return proceed(visit, fresh(entered))
  const { problem } = entered
  const wait = problem === 'throttled' ? String(entered.retryAfter) : undefined
  leadBack(visit, '/device', { problem, typed: typed.slice(0, typedMax), wait })
}
