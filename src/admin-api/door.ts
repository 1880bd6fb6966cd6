import type { IncomingMessage } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { consolePath } from '../clients/console-client.ts'
import type { Context } from '../context.ts'
import type { ErrorSender } from '../endpoints/error-sender.ts'
import { anyMethod } from '../http/other-methods.ts'
import { adminPath } from './admin-path.ts'

/**
 * Hands what is below `/admin/v1` to the admin API, which is an app of its own, and so the console beside it:
 * its schemas and its methods are loaded when somebody first asks, and cost refreshes nothing.
 */
export function adminDoor(app: FastifyInstance, ctx: Context, sendError: ErrorSender): void {
  const ids = new WeakMap<IncomingMessage, string>()
  let opening: Promise<FastifyInstance> | undefined
  let opened: FastifyInstance | undefined
  const open = async () => {
    const { buildAdminApp } = await import('./face.ts')
    const other = buildAdminApp(ctx, { idOf: request => ids.get(request) })
    await other.ready()
    return (opened = other)
  }
  /** Once for all requests; anew where it has failed. */
  const openOnce = () =>
    (opening ??= open().catch((error: unknown) => {
      opening = undefined
      throw error
    }))
  const handOver = (other: FastifyInstance, request: FastifyRequest, reply: FastifyReply) => {
    ids.set(request.raw, request.id)
    reply.hijack()
    other.routing(request.raw, reply.raw)
  }
  app.addHook('onClose', async () => (await opening)?.close())
  const hasConsole = ctx.config.console === 'on'
  const paths = [`${adminPath}/*`, ...(hasConsole ? [consolePath, `${consolePath}/*`] : [])]
  const route = (url: string) => ({
    method: [...anyMethod],
    url,
    // Before the body is looked at: that is the other app's.
    onRequest: (request: FastifyRequest, reply: FastifyReply, done: (error: Error) => void) => {
      if (opened) handOver(opened, request, reply)
      else openOnce().then(other => handOver(other, request, reply), done)
    },
    // Where the other app cannot be opened.
    errorHandler: (error: unknown, request: FastifyRequest, reply: FastifyReply) =>
      void sendError(error, request, reply),
    handler: async () => {}, // unreachable
  })
  for (const path of paths) app.route(route(path))
}
