import type { FastifyInstance } from 'fastify'
import { acceptRequest, findPushed, fresh, isPushedUri } from '../authorization/requests.ts'
import type { Client } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import type { AuthorizationRequest } from '../protocol/authorization-request.ts'
import { formOf, readForm, type Form } from '../protocol/form.ts'
import { sendAnswer } from './answer.ts'
import type { Pages } from './pages.ts'
import { proceed } from './proceed.ts'
import { leadTo, pageHandler, rawQuery, showMessage, type Visit } from './visit.ts'

/**
 * GET and POST /authorize (RFC 6749 §3.1, OpenID Connect Core §3.1.2.1). What a client's page posts comes
 * without cookies, so it goes on as a GET, which has them.
 */
export function authorizePage(app: FastifyInstance, ctx: Context, pages: Pages): void {
  app.get(
    '/authorize',
    pageHandler(ctx, pages, async visit => {
      const { form, repeated } = readForm(rawQuery(visit))
      const request = await accept(visit, form, repeated)
      if (request) await proceed(visit, fresh(request))
    }),
  )
  app.post(
    '/authorize',
    pageHandler(ctx, pages, async visit => {
      const request = await accept(visit, formOf(visit.request.body), [])
      if (request) leadTo(visit, '/log-in', fresh(request))
    }),
  )
}

/** Undefined where it is refused: then the client has its answer, or the person has been told. */
async function accept(
  visit: Visit,
  form: Form,
  repeated: readonly string[],
): Promise<AuthorizationRequest | undefined> {
  const { ctx, request } = visit
  const id = form.get('client_id')
  const found = id === undefined ? undefined : await ctx.clients.registry.findClient(id)
  const client = found?.disabled_at === null ? found : undefined
  if (!client) return void showMessage(visit, { kind: 'client_unknown', status: 400 })
  const requestUri = form.get('request_uri')
  if (requestUri !== undefined && isPushedUri(requestUri)) return acceptPushed(visit, client, requestUri)
  const verdict = await acceptRequest(ctx, client, form, { repeated, log: request.log })
  if (verdict.kind === 'accepted') return verdict.request
  if (verdict.kind === 'shown') return void showMessage(visit, { kind: verdict.problem, status: 400, client })
  return void sendAnswer(visit, client, verdict, verdict)
}

/** Nothing but client_id and request_uri counts (RFC 9126 §4, RFC 9101 §5). */
async function acceptPushed(
  visit: Visit,
  client: Client,
  requestUri: string,
): Promise<AuthorizationRequest | undefined> {
  const pushed = await findPushed(visit.ctx, client, requestUri)
  if (pushed?.kind === 'good') return pushed.request
  const kind = pushed ? (`request_${pushed.kind}` as const) : 'request_invalid'
  return void showMessage(visit, { kind, status: 400, client })
}
