import type { FastifyInstance } from 'fastify'
import { acceptRequest, findPushed, fresh, isPushedUri } from '../authorization/requests.ts'
import { findRequester, isRequester } from '../clients/open-clients.ts'
import type { Client } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import { logOf } from '../http/request-log.ts'
import type { AuthorizationRequest } from '../protocol/authorization-request.ts'
import { formOf, readForm, type SentForm } from '../protocol/form.ts'
import { isRegistered } from '../protocol/redirect-uri.ts'
import { itemsOf } from '../values/list.ts'
import { sendAnswer } from './answer.ts'
import type { Pages } from './pages.ts'
import { firstPage, proceed } from './proceed.ts'
import { showRefusal } from './message.ts'
import { leadTo, pageHandler, rawQuery, type Visit } from './visit.ts'

/**
 * GET and POST /authorize (RFC 6749 §3.1, OpenID Connect Core §3.1.2.1). What a client's page posts comes
 * without cookies, so it goes on as a GET, which has them.
 */
export async function authorizePage(app: FastifyInstance, ctx: Context, pages: Pages): Promise<void> {
  app.get(
    '/authorize',
    pageHandler(ctx, pages, async visit => {
      const request = await accept(visit, readForm(rawQuery(visit)))
      if (request) await proceed(visit, fresh(request))
    }),
  )
  // A scope of its own: the client is told which parameters are repeated, where other forms are no good.
  await app.register(async scope => {
    scope.removeContentTypeParser(formType)
    scope.addContentTypeParser(formType, { parseAs: 'string' }, (_request, text, done) => done(null, text))
    scope.post(
      '/authorize',
      pageHandler(ctx, pages, async visit => {
        const { body } = visit.request
        const sent = typeof body === 'string' ? readForm(body) : { form: formOf(body), repeated: [] }
        const request = await accept(visit, sent)
        if (request) leadTo(visit, firstPage(ctx, { request }), fresh(request))
      }),
    )
  })
}

const formType = 'application/x-www-form-urlencoded'

/** Undefined where it is refused: then the client has its answer, or the person has been told. */
async function accept(visit: Visit, sent: SentForm): Promise<AuthorizationRequest | undefined> {
  const { ctx, request } = visit
  const { form, repeated } = sent
  const id = form.get('client_id')
  const found = id === undefined ? undefined : await findRequester(ctx, id)
  const client = isRequester(found) && found.disabled_at === null ? found : undefined
  const about = { status: 400, client, uiLocales: itemsOf(form.get('ui_locales') ?? '') }
  if (!client) {
    const why = isRequester(found) ? undefined : found
    return void showRefusal(visit, { kind: 'client_unknown', ...about, ...why })
  }
  const requestUri = form.get('request_uri')
  if (requestUri !== undefined && isPushedUri(requestUri)) {
    const isClear = !repeated.includes('client_id') && !repeated.includes('request_uri')
    if (isClear) return acceptPushed(visit, client, requestUri)
    return void showRefusal(visit, { kind: 'request_invalid', ...about })
  }
  const verdict = await acceptRequest(ctx, client, form, { repeated, log: logOf(request) })
  if (verdict.kind === 'accepted') return verdict.request
  if (verdict.kind === 'shown') return void showRefusal(visit, { kind: verdict.problem, ...about })
  return void sendAnswer(visit, client, verdict, verdict)
}

/** Nothing but client_id and request_uri counts (RFC 9126 §4, RFC 9101 §5). */
async function acceptPushed(
  visit: Visit,
  client: Client,
  requestUri: string,
): Promise<AuthorizationRequest | undefined> {
  const pushed = await findPushed(visit.ctx, client, requestUri)
  if (!pushed) return void showRefusal(visit, { kind: 'request_invalid', status: 400, client })
  const { kind, request } = pushed
  // No log-in for a request that can be answered no more.
  if (kind === 'good' && isRegistered(request.redirectUri, itemsOf(client.redirect_uris))) return request
  const error = 'invalid_request_uri'
  return void sendAnswer(visit, client, request, { error, description: `the request_uri ${past[kind]}` })
}

const past = {
  good: 'is of a redirect_uri that is registered no more',
  expired: 'has expired: push the request again',
  used: 'has been used: push a request for each log-in',
} as const
