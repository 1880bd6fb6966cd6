import { fastify } from 'fastify'
import type { Test } from 'tap'
import { pagesFace } from '../../src/pages/face.ts'
import { openLook } from '../../src/pages/look.ts'
import { openPages } from '../../src/pages/pages.ts'
import { startServer } from './server.ts'
import { longNames, plainNames, viewSamples } from './view-samples.ts'

/** Where each sample of a view is shown, as the face for people sends it. */
export interface Gallery {
  readonly origin: string
  /**
   * The samples' names, at `/plain/NAME` and, of clients and people with long names, `/long/NAME`. At
   * `/form-post` is an answer that sends itself.
   */
  readonly names: readonly string[]
}

/**
 * Shows the samples in the operator's look that the settings of `env` give. `?ui_locales=` chooses a
 * language.
 */
export async function startGallery(t: Test, env: Record<string, string> = {}): Promise<Gallery> {
  const { ctx } = await startServer(t, env)
  const pages = openPages(openLook(ctx.config), ctx.config.issuer)
  const samples = new Map([
    ['plain', viewSamples(plainNames)],
    ['long', viewSamples(longNames)],
  ])
  const app = fastify()
  app.register(async scope => {
    await pagesFace(ctx)(scope)
    scope.get<{ Params: { names: string; view: string }; Querystring: { ui_locales?: string } }>(
      '/:names/:view',
      (request, reply) => {
        const view = samples.get(request.params.names)?.get(request.params.view)
        if (!view) throw new Error(`there is no ${request.url}`)
        const uiLocales = request.query.ui_locales?.split(' ') ?? []
        return pages.show(request, reply, view, { uiLocales, script: 'passkey' })
      },
    )
    scope.get('/form-post', (request, reply) =>
      pages.showFormPost(request, reply, {
        clientName: plainNames.client,
        uri: 'https://orders.example/callback',
        parameters: [
          ['code', 'mm_ac_1'],
          ['state', '"></form>&amp;'],
          ['iss', 'https://as.example'],
        ],
      }),
    )
  })
  t.teardown(() => app.close())
  return {
    origin: await app.listen({ host: '127.0.0.1', port: 0 }),
    names: [...viewSamples().keys()],
  }
}
