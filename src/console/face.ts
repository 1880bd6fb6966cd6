import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fastifyStatic from '@fastify/static'
import type { FastifyInstance } from 'fastify'
import { ensureConsoleClient } from '../admin/console-client.ts'
import { consoleClientId, consolePath } from '../clients/console-client.ts'
import type { Context } from '../context.ts'
import { unavailable } from '../errors.ts'
import { logoFile } from '../pages/logo-file.ts'
import { openLook } from '../pages/look.ts'
import { consolePage } from './page.ts'

/** The built files: beside the built program, or where the build of a checkout puts them. */
const folder = join(
  import.meta.dirname,
  import.meta.filename.endsWith('.ts') ? '../../dist/console' : 'console',
)

/** Names of files there have a hash of their content in them. */
const immutable = 'public, max-age=31536000, immutable'

/**
 * Makes the admin console, as a scope of the admin API's app: its page, whatever view the address names, and
 * the files of the page, which were compressed when they were built.
 */
export function consoleFace(ctx: Context): (app: FastifyInstance) => Promise<void> {
  const look = openLook(ctx.config)
  const page = consolePage(ctx.config, look, readPage())
  return async app => {
    app.addHook('onRequest', async (_request, reply) => {
      reply.removeHeader('pragma').headers(page.headers)
    })
    const show = async () => {
      const { log, config, db, clock } = ctx
      const known = await ctx.clients.registry.findClient(consoleClientId)
      await ensureConsoleClient({ log, config, db, clock, actor: { kind: 'server' } }, known)
      if (page.html === undefined)
        throw unavailable(new Error('the console is not built: `npm run build` does that'))
      return page.html
    }
    for (const url of [consolePath, `${consolePath}/*`])
      app.get(url, { schema: { hide: true } }, async (_request, reply) =>
        reply.type('text/html; charset=utf-8').send(await show()),
      )
    logoFile(app, look, `${consolePath}/logo`)
    await app.register(async scope => {
      scope.addHook('onSend', async (_request, reply) => {
        if (reply.statusCode === 200 || reply.statusCode === 304) reply.header('cache-control', immutable)
      })
      await scope.register(fastifyStatic, {
        root: join(folder, 'assets'),
        prefix: `${consolePath}/assets/`,
        preCompressed: true,
        cacheControl: false,
        index: false,
        dotfiles: 'ignore',
        decorateReply: false,
      })
    })
  }
}

function readPage(): string | undefined {
  try {
    return readFileSync(join(folder, 'index.html'), 'utf8')
  } catch {
    // A checkout that was not built.
    return undefined
  }
}
