import type { FastifyReply, FastifyRequest } from 'fastify'
import { fresh, sealRequest, type PendingRequest } from '../authorization/requests.ts'
import type { Client } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import { networkOf } from '../values/addresses.ts'
import { itemsOf } from '../values/list.ts'
import type { ClientNames } from './layout.ts'
import type { Pages } from './pages.ts'

/** A request of a browser, and what answers it. */
export interface Visit {
  readonly ctx: Context
  readonly pages: Pages
  readonly request: FastifyRequest
  readonly reply: FastifyReply
}

/**
 * Makes the handler of a page: its work is refused first of all, where the server has too much to do, and
 * has answered when it is done.
 */
export function pageHandler(
  ctx: Context,
  pages: Pages,
  work: (visit: Visit) => Promise<void>,
): (request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply> {
  return async (request, reply) => {
    await admit({ ctx, pages, request, reply }, work)
    return reply
  }
}

/** Does the work of a page, or throws `temporarily_unavailable` (503) where there is too much of it. */
export async function admit(visit: Visit, work: (visit: Visit) => Promise<void>): Promise<void> {
  const { ctx, request } = visit
  await ctx.load.admission.admit('log_in', () => work(visit), networkOf(request.ip))
}

/** A parameter of the query, where it is there once. */
export function queryOf({ request }: Visit, name: string): string | undefined {
  const value = (request.query as Readonly<Record<string, unknown>> | undefined)?.[name]
  return typeof value === 'string' ? value : undefined
}

/** All of the query, as it was sent. */
export function rawQuery({ request }: Visit): string {
  const [, query = ''] = request.url.split(/\?(.*)/s)
  return query
}

/** Sends the browser on, whatever its request was, with a GET (RFC 9110 §15.4.4). */
export function redirectTo({ reply }: Visit, uri: string): void {
  void reply.redirect(uri, 303)
}

/** The pages that an authorization request may lead to. */
export type StagePath =
  '/log-in' | '/consent' | '/device/confirm' | '/account/second-factor' | '/reset' | '/sign-up'

/** Sends the browser to a page, which goes on with the request. */
export function leadTo(visit: Visit, path: StagePath, pending: PendingRequest): void {
  redirectTo(visit, pageAddress(visit, path, sealRequest(visit.ctx, pending)))
}

/** Absolute, since the issuer may have a path. */
export function pageAddress({ ctx }: Pick<Visit, 'ctx'>, path: string, sealed: string): string {
  return `${ctx.config.issuer}${path}?request=${sealed}`
}

/** The page on which somebody else logs in for the same request, as a link of ours. */
export function anotherHref({ ctx }: Pick<Visit, 'ctx'>, { request, browser }: PendingRequest): string {
  const another = fresh(request, { browser, wantsAnother: true })
  return `/log-in?request=${sealRequest(ctx, another)}`
}

/**
 * What people know a client by, and where its home is. One that has named none is at home where it takes its
 * answers, if that is a web site: an address on the person's own device may not answer.
 */
export function namesOf(
  client: Pick<Client, 'id' | 'client_name' | 'client_uri' | 'redirect_uris'>,
): ClientNames {
  const { id, client_name: name, client_uri: named, redirect_uris } = client
  return { name: name ?? id, homeUri: named ?? siteOf(redirect_uris) }
}

function siteOf(redirectUris: string): string | null {
  const [first = ''] = itemsOf(redirectUris)
  return first.startsWith('https:') ? new URL('/', first).href : null
}
