import type { FastifyInstance } from 'fastify'
import { en } from '../../src/pages/texts/en.ts'
import type { TestServer } from './server.ts'

type Response = Awaited<ReturnType<FastifyInstance['inject']>>

export interface Cookie {
  readonly name: string
  readonly value: string
  readonly attributes: ReadonlyMap<string, string>
}

/** What a person sees: a page of the server, or the address of a client to which it has led. */
export interface Page {
  /** Absolute. */
  readonly url: URL
  /** Whether it is no page of the server: then nothing of the following is there. */
  readonly isElsewhere: boolean
  readonly response: Response
  readonly forms: readonly HtmlForm[]
  readonly links: readonly { readonly href: string; readonly text: string }[]
  /** Without its markup. */
  readonly text: string
}

export interface HtmlForm {
  readonly action: string
  readonly method: string
  /** All fields with what is in them. A box that is not ticked is none. */
  readonly fields: ReadonlyMap<string, string>
  readonly buttons: readonly { readonly name: string; readonly value: string; readonly text: string }[]
}

export interface BrowserOptions {
  /** Whether it says where a request comes from (Fetch Metadata), as browsers since 2023 do. */
  readonly hasFetchMetadata?: boolean
  readonly takesCookies?: boolean
  readonly address?: string
  readonly language?: string
}

/** How a request comes about. */
export interface Navigation {
  /** The origin of the page on which something was clicked; without it, the address was typed. */
  readonly from?: string
  /** Shows the redirect itself. */
  readonly staysPut?: boolean
  readonly headers?: Readonly<Record<string, string>>
}

export interface Browser {
  readonly cookies: Map<string, Cookie>
  open(url: string, how?: Navigation): Promise<Page>
  /** Posts a form that some page has. */
  post(url: string, fields: Readonly<Record<string, string>>, how?: Navigation): Promise<Page>
  /**
   * Fills in the first form of a page, or the one with a field or button of this name, and sends it by that
   * button (`name=value`), or its first one.
   */
  submit(
    page: Page,
    fields?: Readonly<Record<string, string>>,
    how?: Navigation & { readonly button?: string },
  ): Promise<Page>
  /** Follows the link that has this text in it. */
  follow(page: Page, text: string | RegExp): Promise<Page>
  /** Ends the browser: cookies that are not kept are gone. */
  close(): void
}

/**
 * A browser without a screen: it keeps cookies by the rules of RFC 6265bis (`SameSite`, `__Host-`), follows
 * redirects as long as they stay at the server, and says where its requests come from.
 */
export function openBrowser(server: TestServer, options: BrowserOptions = {}): Browser {
  const { hasFetchMetadata = true, takesCookies = true, address = '198.51.100.7', language } = options
  const issuer = new URL(server.ctx.config.issuer)
  const cookies = new Map<string, Cookie>()

  const send = async (url: URL, { method, body, from, headers: more }: Sent): Promise<Response> => {
    const isCrossSite = from !== undefined && from !== issuer.origin
    const isTypedIn = from === undefined
    const sentCookies = [...cookies.values()].filter(
      ({ attributes }) => !isCrossSite || method === 'GET' || attributes.get('samesite') === 'None',
    )
    const headers: Record<string, string> = {
      host: issuer.host,
      accept: 'text/html,application/xhtml+xml,*/*;q=0.8',
      ...(language !== undefined && { 'accept-language': language }),
      ...(hasFetchMetadata && {
        'sec-fetch-site': isTypedIn ? 'none' : isCrossSite ? 'cross-site' : 'same-origin',
        'sec-fetch-mode': 'navigate',
        'sec-fetch-dest': 'document',
      }),
      ...(method === 'POST' && {
        'content-type': 'application/x-www-form-urlencoded',
        ...(!isTypedIn && { origin: from }),
      }),
      ...(sentCookies.length > 0 && {
        cookie: sentCookies.map(({ name, value }) => `${name}=${value}`).join('; '),
      }),
      ...more,
    }
    const response = await server.request({
      method,
      url: url.pathname + url.search,
      headers,
      remoteAddress: address,
      ...(body !== undefined && { payload: body }),
    })
    if (method === 'POST') neverAnswersByAPage(response)
    if (takesCookies) for (const cookie of cookiesOf(response)) keep(cookies, cookie)
    return response
  }

  const navigate = async (url: URL, sent: Sent, { staysPut = false }: Navigation = {}): Promise<Page> => {
    let at = url
    let next = sent
    for (let hops = 0; hops < 10; hops++) {
      const response = await send(at, next)
      const { location } = response.headers
      if (location === undefined || staysPut) return pageOf(at, response)
      const target = new URL(String(location), at)
      if (target.origin !== issuer.origin) return { ...pageOf(target, response), isElsewhere: true }
      // A request from another site stays one through all redirects.
      next = { method: 'GET', from: next.from }
      at = target
    }
    throw new Error(`it redirects without an end: ${at.href}`)
  }
  const absolute = (url: string, base: URL = issuer) => new URL(url, base)

  const browser: Browser = {
    cookies,
    open: (url, how = {}) => navigate(absolute(url), { method: 'GET', ...how }, how),
    post: (url, fields, how = {}) =>
      navigate(
        absolute(url),
        { method: 'POST', body: new URLSearchParams(fields).toString(), from: issuer.origin, ...how },
        how,
      ),
    submit: async (page, fields = {}, how = {}) => {
      const { button } = how
      const [form] = page.forms.filter(
        ({ buttons }) => button === undefined || buttons.some(isButton(button)),
      )
      if (!form) throw new Error(`there is no such form: ${page.text}`)
      const pressed = button === undefined ? form.buttons[0] : form.buttons.find(isButton(button))
      const unknown = Object.keys(fields).filter(name => !page.response.body.includes(`name="${name}"`))
      if (unknown.length > 0) throw new Error(`there is no field ${unknown.join(', ')}: ${page.text}`)
      const filled = {
        ...Object.fromEntries(form.fields),
        ...fields,
        ...(pressed && pressed.name !== '' && { [pressed.name]: pressed.value }),
      }
      const url = absolute(form.action, page.url)
      if (form.method === 'get') return browser.open(`${url.pathname}?${new URLSearchParams(filled)}`, how)
      return browser.post(url.href, filled, how)
    },
    follow: async (page, text) => {
      const link = page.links.find(link =>
        typeof text === 'string' ? link.text.includes(text) : text.test(link.text),
      )
      if (!link) throw new Error(`there is no such link: ${page.text}`)
      const url = absolute(link.href, page.url)
      if (url.origin !== issuer.origin) return { ...page, url, isElsewhere: true }
      return browser.open(url.href, { from: issuer.origin })
    },
    close: () => {
      for (const { name, attributes } of cookies.values())
        if (!attributes.has('max-age') && !attributes.has('expires')) cookies.delete(name)
    },
  }
  return browser
}

const isButton = (named: string) => (button: { name: string; value: string }) =>
  `${button.name}=${button.value}` === named

interface Sent {
  readonly method: 'GET' | 'POST'
  readonly body?: string
  readonly from?: string | undefined
  readonly headers?: Readonly<Record<string, string>>
}

/** Of a page that a form is answered by itself. */
const pagesOfForms = [
  // Recovery codes are shown this once, and no address has them.
  '<ol class="codes"',
  // As is a personal access token.
  '<textarea class="token"',
  // An answer for a client, which no address has, and which leaves at once.
  'document.forms[0].submit()',
  // The request of a client, which leads nowhere (RFC 6749 §3.1.2.4).
  en.forDevelopers,
]

/**
 * Loading the answer to a form again would send the form again, and so would going back to it. So it is a
 * redirect, unless the form was not heard at all.
 */
function neverAnswersByAPage({ statusCode, body, headers: { location } }: Response): void {
  const isUnheard = statusCode === 403 || statusCode === 413 || statusCode === 415 || statusCode === 429
  if (statusCode === 303 || isUnheard || statusCode >= 500) return
  if (pagesOfForms.some(mark => body.includes(mark))) return
  throw new Error(`a form was answered by a page: ${statusCode} ${String(location)} ${textOf(body)}`)
}

export function cookiesOf(response: Response): readonly Cookie[] {
  return [response.headers['set-cookie'] ?? []].flat().map(text => {
    const [pair = '', ...rest] = text.split(';').map(part => part.trim())
    const attributes = rest
      .map(part => part.split('='))
      .map(([name = '', value = '']) => [name, value] as const)
    return {
      name: pair.slice(0, pair.indexOf('=')),
      value: pair.slice(pair.indexOf('=') + 1),
      attributes: new Map(attributes.map(([name, value]) => [name.toLowerCase(), value])),
    }
  })
}

function keep(cookies: Map<string, Cookie>, cookie: Cookie): void {
  const { name, attributes } = cookie
  const isHostOnly = attributes.has('secure') && attributes.get('path') === '/' && !attributes.has('domain')
  if (name.startsWith('__Host-') && !isHostOnly) throw new Error(`a browser refuses the cookie ${name}`)
  const isGone =
    attributes.get('max-age') === '0' || new Date(attributes.get('expires') ?? '9999-01-01') <= new Date(0)
  if (isGone) cookies.delete(name)
  else cookies.set(name, cookie)
}

function pageOf(url: URL, response: Response): Page {
  const html = response.body
  return {
    url,
    isElsewhere: false,
    response,
    forms: [...html.matchAll(/<form\b([^>]*)>(.*?)<\/form>/gs)].map(([, head = '', body = '']) =>
      formOf(head, body),
    ),
    links: [...html.matchAll(/<a\b([^>]*)>(.*?)<\/a>/gs)].map(([, head = '', body = '']) => ({
      href: attributeOf(head, 'href') ?? '',
      text: accessibleName(html, head) ?? textOf(body),
    })),
    text: textOf(html.replace(/<(style|script|title)\b.*?<\/\1>/gs, ' ')),
  }
}

/** What a link is called that other elements name, itself among them; undefined for any other. */
function accessibleName(html: string, head: string): string | undefined {
  return attributeOf(head, 'aria-labelledby')
    ?.split(' ')
    .map(id => textOf(new RegExp(` id="${id}"[^>]*>(.*?)</(?:a|h\\d)>`, 's').exec(html)?.[1] ?? ''))
    .join(' ')
}

function formOf(head: string, body: string): HtmlForm {
  const fields = new Map<string, string>()
  for (const [, input = ''] of body.matchAll(/<input\b([^>]*)>/gs)) {
    const name = attributeOf(input, 'name')
    const isBox = ['checkbox', 'radio'].includes(attributeOf(input, 'type') ?? '')
    if (name === undefined || (isBox && !/\schecked\b/.test(input))) continue
    fields.set(name, attributeOf(input, 'value') ?? (isBox ? 'on' : ''))
  }
  for (const [, textarea = '', text = ''] of body.matchAll(/<textarea\b([^>]*)>(.*?)<\/textarea>/gs))
    fields.set(attributeOf(textarea, 'name') ?? '', decodeEntities(text))
  for (const [, select = '', options = ''] of body.matchAll(/<select\b([^>]*)>(.*?)<\/select>/gs)) {
    const [, chosen = ''] = /<option\b([^>]*\sselected\b[^>]*)>/.exec(options) ?? []
    fields.set(attributeOf(select, 'name') ?? '', attributeOf(chosen, 'value') ?? '')
  }
  const buttons = [...body.matchAll(/<button\b([^>]*)>(.*?)<\/button>/gs)].map(
    ([, button = '', text = '']) => ({
      name: attributeOf(button, 'name') ?? '',
      value: attributeOf(button, 'value') ?? '',
      text: textOf(text),
    }),
  )
  return {
    action: attributeOf(head, 'action') ?? '',
    method: (attributeOf(head, 'method') ?? 'get').toLowerCase(),
    fields,
    buttons,
  }
}

function attributeOf(head: string, name: string): string | undefined {
  const [, value] = new RegExp(`\\s${name}="([^"]*)"`).exec(head) ?? []
  return value === undefined ? undefined : decodeEntities(value)
}

function textOf(html: string): string {
  return decodeEntities(html.replace(/<[^>]*>/g, ' '))
    .replace(/\s+/g, ' ')
    .trim()
}

function decodeEntities(text: string): string {
  return text
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&#39;', "'")
    .replaceAll('&amp;', '&')
}
