import type { FastifyReply, FastifyRequest } from 'fastify'

/** One cookie of ours. */
export interface PageCookie {
  readonly name: string
  /** What the browser has sent, which is not to be trusted; undefined for none. */
  read(request: FastifyRequest): string | undefined
  /** Kept for some seconds; null: until the browser is closed. */
  set(reply: FastifyReply, value: string, maxAgeSeconds: number | null): void
  /** Makes the browser forget it. */
  clear(reply: FastifyReply): void
}

/** The cookies of pages, which no script reads, and which come with nothing that another site sends. */
export interface Cookies {
  /** The sign-in (protocol/sign-in-cookie.ts). */
  readonly signIn: PageCookie
  /** The device token, by which an owner is let in while strangers guess. */
  readonly device: PageCookie
  /** Binds an authorization request to the browser that it began in. */
  readonly browser: PageCookie
  /** What a page tells once, after something was done and the browser was led there. */
  readonly notice: PageCookie
}

/**
 * The names are `__Host-mintmark…`, which no other host can set and no connection without TLS (RFC 6265bis
 * §4.1.3.2). A browser takes those over https alone, so at a loopback http they go without, but have the
 * port: cookies know none (RFC 6265bis §8.5), and servers beside each other would log people out. So would
 * issuers whose paths are all that differs, since such a cookie is for the whole host.
 */
export function cookiesOf(issuer: string): Cookies {
  const { protocol, port, pathname } = new URL(issuer)
  const isSecure = protocol === 'https:'
  const prefix = isSecure ? '__Host-mintmark' : port === '' ? 'mintmark' : `mintmark-${port}`
  // No path of an issuer has a `+` in it.
  const path = pathname === '/' ? '' : pathname.replaceAll('/', '+')
  const one = (name: string) => pageCookie(prefix + name + path, isSecure)
  return { signIn: one(''), device: one('-device'), browser: one('-browser'), notice: one('-notice') }
}

function pageCookie(name: string, secure: boolean): PageCookie {
  // Lax: with the redirect from a client's page it comes, with a form that another site posts it does not.
  const attributes = { path: '/', httpOnly: true, secure, sameSite: 'lax' } as const
  return {
    name,
    read: request => request.cookies[name],
    set: (reply, value, maxAgeSeconds) =>
      void reply.setCookie(name, value, {
        ...attributes,
        ...(maxAgeSeconds !== null && { maxAge: maxAgeSeconds }),
      }),
    clear: reply => void reply.clearCookie(name, attributes),
  }
}
