import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import type { Test } from 'tap'
import type { ClientTable } from '../../db/schema.ts'
import { sha256 } from '../../src/values/sha256.ts'
import type { TestClient, TestServer } from './server.ts'

/** A client with pages of its own, which a browser can open. */
export interface WebApp {
  readonly client: TestClient
  readonly origin: string
  readonly redirectUri: string
  /** What browsers have brought to its redirect URI. */
  readonly answers: readonly Answer[]
  /** Where a log-in begins, with more parameters of the request. */
  start(more?: Readonly<Record<string, string>>): string
}

export interface Answer {
  readonly method: string | undefined
  readonly parameters: Readonly<Record<string, string>>
  /** Whether the app has begun such a log-in, and not another app. */
  readonly isAsked: boolean
  /** What the token endpoint has answered; null where there was no code. */
  readonly tokens: Readonly<Record<string, unknown>> | null
}

interface Pending {
  readonly redirectUri: string
  readonly verifier: string
}

/**
 * Adds a client and starts its app on the loopback interface. At `localhost` it is another site than the
 * server, whose issuer is at an address. The server must listen at its issuer.
 */
export async function startWebApp(
  t: Pick<Test, 'teardown'>,
  server: TestServer,
  id: string,
  { host = 'localhost', ...settings }: { host?: string } & Partial<ClientTable> = {},
): Promise<WebApp> {
  const { issuer } = server.ctx.config
  const answers: Answer[] = []
  const begun = new Map<string, Pending>()
  const asked = new Set<string>()
  let idToken: string | undefined

  const begin = (more: URLSearchParams): string => {
    const [state, verifier] = [randomBytes(8).toString('hex'), randomBytes(32).toString('base64url')]
    const query = new URLSearchParams({
      response_type: 'code',
      client_id: client.id,
      redirect_uri: redirectUri,
      scope: 'openid read',
      code_challenge: sha256(verifier).toString('base64url'),
      code_challenge_method: 'S256',
      state,
      ...Object.fromEntries(more),
    })
    begun.set(state, { verifier, redirectUri })
    asked.add(state)
    return `${issuer}/authorize?${query}`
  }
  const finish = async (method: string | undefined, parameters: Record<string, string>): Promise<void> => {
    const { code, state = '' } = parameters
    const pending = begun.get(state)
    begun.delete(state)
    let tokens: Record<string, unknown> | null = null
    if (code !== undefined && pending) {
      const form = { grant_type: 'authorization_code', code, code_verifier: pending.verifier, ...client.form }
      tokens = (await server.post('/token', { ...form, redirect_uri: pending.redirectUri })).json()
      idToken = String(tokens?.['id_token'])
    }
    answers.push({ method, parameters, isAsked: asked.has(state), tokens })
  }
  /** Where the browser is sent, or the page that it is shown. */
  const answer = async (request: IncomingMessage): Promise<{ location: string } | { page: string }> => {
    const { pathname, searchParams } = new URL(request.url ?? '', origin)
    switch (pathname) {
      case '/start':
        return { location: begin(searchParams) }
      case '/callback': {
        const sent = request.method === 'POST' ? new URLSearchParams(await text(request)) : searchParams
        await finish(request.method, Object.fromEntries(sent))
        return { location: '/' }
      }
      case '/log-out': {
        const hint: Record<string, string> = idToken === undefined ? {} : { id_token_hint: idToken }
        const query = new URLSearchParams({
          ...hint,
          post_logout_redirect_uri: `${origin}/bye`,
          state: 'gone',
        })
        return { location: `${issuer}/log-out?${query}` }
      }
      default:
        return { page: `<title>${id}</title><h1>${id}</h1><p>${pathname}</p>` }
    }
  }
  const app = createServer((request, response) => {
    void answer(request).then(answered => {
      if ('location' in answered) response.writeHead(303, { location: answered.location }).end()
      else response.writeHead(200, { 'content-type': 'text/html' }).end(answered.page)
    })
  }).listen(0, '127.0.0.1')
  await once(app, 'listening')
  t.teardown(() => {
    app.closeAllConnections()
    app.close()
  })
  const origin = `http://${host}:${(app.address() as AddressInfo).port}`
  const redirectUri = `${origin}/callback`
  const client = await server.client(id, {
    grant_types: 'authorization_code refresh_token',
    redirect_uris: redirectUri,
    post_logout_redirect_uris: `${origin}/bye`,
    client_uri: `${origin}/`,
    client_name: `The ${id} app`,
    ...settings,
  })
  return {
    client,
    origin,
    redirectUri,
    answers,
    start: (more = {}) => `${origin}/start?${new URLSearchParams(more)}`,
  }
}
