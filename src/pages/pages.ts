import type { FastifyReply, FastifyRequest } from 'fastify'
import { cookiesOf, type Cookies } from './cookies.ts'
import type { Html } from './html.ts'
import { languageOf, languageTags } from './language.ts'
import type { Frame } from './layout.ts'
import type { Look } from './look.ts'
import { pagePolicy } from './page-headers.ts'
import { formPostScriptSource, formPostView, type FormPostData } from './views/form-post.ts'
import { passkeyScriptSource } from './views/passkey.ts'

/** What is done with pages, whatever is on them. */
export interface Pages {
  readonly cookies: Cookies
  /** The tag of a reader's language. */
  languageOf(request: FastifyRequest, uiLocales: readonly string[]): string
  /** Sends a page in its reader's language. */
  show(request: FastifyRequest, reply: FastifyReply, view: View, options?: ShowOptions): FastifyReply
  /** Answers a client by a form that sends itself. */
  showFormPost(
    request: FastifyRequest,
    reply: FastifyReply,
    data: FormPostData,
    options?: ShowOptions,
  ): FastifyReply
}

export type View = (frame: Frame) => Html

export interface ShowOptions {
  /** 200 unless told. */
  readonly status?: number
  /** Of the authorization request. */
  readonly uiLocales?: readonly string[]
  /** The script that stands in the page; none unless told. */
  readonly script?: 'passkey'
}

export function openPages(look: Look, issuer: string): Pages {
  const withPasskeys = pagePolicy(look, passkeyScriptSource)
  const accepted = acceptedTags()
  const languageFor = (request: FastifyRequest, uiLocales: readonly string[]) =>
    languageOf(uiLocales, () => accepted(request))
  const show: Pages['show'] = (request, reply, view, { status = 200, uiLocales = [], script } = {}) => {
    if (script !== undefined) reply.header('content-security-policy', withPasskeys)
    const language = languageFor(request, uiLocales)
    const page = view({ look, language, requestId: request.id })
    return reply.code(status).type('text/html; charset=utf-8').send(String(page))
  }
  return {
    cookies: cookiesOf(issuer),
    languageOf: (request, uiLocales) => languageFor(request, uiLocales).tag,
    show,
    showFormPost: (request, reply, data, options) => {
      reply.header('content-security-policy', pagePolicy(look, formPostScriptSource))
      return show(request, reply, frame => formPostView(frame, data), options)
    },
  }
}

/** So many headers are kept, and none that is longer. */
const [headersMax, headerLengthMax] = [1000, 100]

/**
 * Makes what finds the tag of ours that a browser accepts most. Browsers of one kind send the same header,
 * which is read once.
 */
function acceptedTags(): (request: FastifyRequest) => string | undefined {
  const known = new Map<string, string | undefined>()
  return request => {
    const { 'accept-language': header = '' } = request.headers
    if (known.has(header)) return known.get(header)
    const tag = request.languages([...languageTags]) || undefined
    if (known.size >= headersMax) known.clear()
    if (header.length <= headerLengthMax) known.set(header, tag)
    return tag
  }
}
