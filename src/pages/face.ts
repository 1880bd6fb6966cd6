import accepts from '@fastify/accepts'
import cookie from '@fastify/cookie'
import formbody from '@fastify/formbody'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Context } from '../context.ts'
import { OAuthError, unavailable } from '../errors.ts'
import { openErrorReader, type ErrorReader } from '../http/error-reader.ts'
import { refuseMessage } from '../http/message.ts'
import { collectRoutes, refuseOtherMethods } from '../http/other-methods.ts'
import { parseForm } from '../protocol/form.ts'
import { accountPages } from './account/face.ts'
import { authorizePage } from './authorize.ts'
import { confirmDevicePage } from './confirm-device.ts'
import { consentPage } from './consent.ts'
import { isFromOwnPages } from './cross-site.ts'
import { devicePage } from './device.ts'
import { logoFile } from './logo-file.ts'
import { logInPage } from './log-in.ts'
import { logOutPage } from './log-out.ts'
import { openLook } from './look.ts'
import { messagePage } from './message.ts'
import { pageHeaders } from './page-headers.ts'
import { noteSent } from './once.ts'
import { openPages, type Pages } from './pages.ts'
import { resetPage } from './reset.ts'
import { signUpPage } from './sign-up.ts'
import type { MessageKind } from './texts/texts.ts'
import { verifyPage } from './verify.ts'
import { messageView } from './views/message.ts'

/** Where clients' own pages post a form to (OpenID Connect Core §3.1.2.1, RP-Initiated Logout 1.0 §2). */
const postedByClients: ReadonlySet<string> = new Set(['/authorize', '/log-out'])

/**
 * Makes the face for people, as a scope of the app: cookies and forms in, pages out, errors too. One line for
 * each page. Reads the logo; throws a `ConfigError`.
 */
export function pagesFace(ctx: Context): (app: FastifyInstance) => Promise<void> {
  const { issuer } = ctx.config
  const look = openLook(ctx.config)
  const pages = openPages(look, issuer)
  const headers = pageHeaders(look, issuer)
  const refuse = earlyRefusal(ctx)
  const readError = openErrorReader(ctx)
  return async app => {
    app.removeAllContentTypeParsers()
    app.register(formbody, { parser: text => parseForm(text) as unknown as Record<string, unknown> })
    app.register(accepts)
    await app.register(cookie)
    app.addHook('onSend', noteSent)
    app.setErrorHandler(errorPage(pages, readError))
    app.addHook('onRequest', (request, reply, done) => {
      reply.headers(headers)
      done(refuse(request))
    })
    const routes = collectRoutes(app)

    await authorizePage(app, ctx, pages)
    logInPage(app, ctx, pages, readError)
    consentPage(app, ctx, pages)
    devicePage(app, ctx, pages)
    confirmDevicePage(app, ctx, pages)
    logOutPage(app, ctx, pages)
    accountPages(app, ctx, pages)
    resetPage(app, ctx, pages)
    signUpPage(app, ctx, pages)
    verifyPage(app, ctx, pages)
    messagePage(app, ctx, pages)
    logoFile(app, look)

    refuseOtherMethods(app, routes)
  }
}

/** Says why a request is refused without a look at its body; undefined if it is not. */
function earlyRefusal({ standing, config }: Context): (request: FastifyRequest) => OAuthError | undefined {
  const { origin } = new URL(config.issuer)
  return ({ raw, routeOptions: { url = '' } }) => {
    const reason = standing.refusal()
    if (reason !== undefined) return unavailable(new Error(reason), 30)
    const refusal = refuseMessage(raw)
    if (refusal) return refusal
    if (raw.method !== 'POST' || postedByClients.has(url) || isFromOwnPages(raw.headers, origin))
      return undefined
    return new OAuthError('invalid_request', 'the form was sent by a page of another site', { status: 403 })
  }
}

/** Makes the page for whatever was thrown, which the log and the counters are told of too. */
function errorPage(pages: Pages, readError: ErrorReader) {
  return (thrown: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    const error = readError(thrown, request)
    const { status, retryAfter } = error
    if (retryAfter !== undefined) reply.header('retry-after', String(retryAfter))
    const kind = kindOf(status)
    const detail = kind === 'malformed' ? error.message : undefined
    return pages.show(
      request,
      reply,
      frame => messageView(frame, { kind, detail, ...(kind === 'throttled' && { retryAfter }) }),
      { status },
    )
  }
}

function kindOf(status: number): MessageKind {
  if (status === 403) return 'cross_site'
  if (status === 429) return 'throttled'
  return status >= 500 ? 'unavailable' : 'malformed'
}
