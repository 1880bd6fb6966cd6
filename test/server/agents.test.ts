import t, { type Test } from 'tap'
import { findClient } from '../../db/clients/clients.ts'
import { createRegistrationToken } from '../../src/admin/registration-tokens.ts'
import { servedAdmin } from '../../src/admin/served.ts'
import { sha256 } from '../../src/values/sha256.ts'
import { agentRedirectUri, agentStore, mcpServer, openAgent, scopes } from '../helpers/agent.ts'
import { openBrowser } from '../helpers/browser.ts'
import { openDocumentSite } from '../helpers/document-site.ts'
import { freePort } from '../helpers/free-port.ts'
import { startServer, type TestServer, type TestUser } from '../helpers/server.ts'

/** A server that listens, and an MCP server that takes its tokens. */
async function world(t: Test, env: Record<string, string> = {}) {
  const port = await freePort()
  const server = await startServer(t, {
    MINTMARK_ISSUER: `http://127.0.0.1:${port}`,
    MINTMARK_JWKS_URI_NETWORKS: '127.0.0.0/8',
    ...env,
  })
  const url = await mcpServer(t, server)
  await server.resource(url, { is_open: 1, scope: scopes.join(' ') })
  await server.app.listen({ host: '127.0.0.1', port })
  return { server, url, user: await server.user() }
}

/** What a person does in a browser: logs in and, if asked, allows it. */
function person(server: TestServer, { username, password }: TestUser) {
  const browser = openBrowser(server)
  return async (url: URL): Promise<URL> => {
    let page = await browser.open(url.href)
    if (page.url.pathname === '/log-in') page = await browser.submit(page, { username, password })
    if (page.url.pathname === '/consent') page = await browser.submit(page, {}, { button: 'decision=allow' })
    if (!page.isElsewhere) throw new Error(page.text)
    return page.url
  }
}

const mustNotLogIn = async (): Promise<URL> => {
  throw new Error('it logs in once more')
}

t.test('the MCP SDK as it is: an agent that is known by a document logs in and calls a tool', async t => {
  const site = await openDocumentSite(t)
  const { server, url, user } = await world(t, { MINTMARK_CLIENT_DOCUMENT_HOSTS: site.host })
  const clientMetadataUrl = site.publish('/agent.json', { redirect_uris: [agentRedirectUri] })
  const store = agentStore({ clientMetadataUrl })
  const agent = openAgent(t, url, { store })
  t.equal(await agent.whoami(person(server, user)), `${user.sub} by ${clientMetadataUrl}`)
  t.equal(store.sentTo?.searchParams.get('resource'), url)
  t.equal(store.sentTo?.searchParams.get('scope'), scopes.join(' '), 'as the challenge of the kit says')
  t.match(await findClient(server.ctx.db, clientMetadataUrl), { made_by: 'document' })

  const first = store.kept?.access_token
  server.tick(400)
  t.equal(await agent.whoami(mustNotLogIn), `${user.sub} by ${clientMetadataUrl}`)
  t.not(store.kept?.access_token, first, 'it has refreshed its token, which had expired')

  const another = openAgent(t, url, { store: agentStore({ clientMetadataUrl }) })
  t.equal(await another.whoami(person(server, user)), `${user.sub} by ${clientMetadataUrl}`)
})

t.test('the MCP SDK as it is: an agent that registers itself with a token', async t => {
  const { server, url, user } = await world(t, { MINTMARK_CLIENT_REGISTRATION: 'token' })
  const { ctx } = server
  const admin = servedAdmin(ctx, { actor: { kind: 'command', user: 'root' }, isLimited: false }, ctx.log)
  const { token } = await createRegistrationToken(admin, { name: null, lifeSeconds: 3600, clientsMax: 1 })
  // The SDK has no place for such a token, so it is added to that one request.
  const withToken: typeof fetch = async (input, init) => {
    const headers = new Headers(init?.headers)
    if (String(input).endsWith('/register')) headers.set('authorization', `Bearer ${token}`)
    return fetch(input, { ...init, headers })
  }
  const store = agentStore()
  const agent = openAgent(t, url, { store, fetch: withToken })
  const clientId = async () => (await store.clientInformation())?.client_id ?? ''
  t.match(await agent.whoami(person(server, user)), `${user.sub} by `)
  t.match(await findClient(ctx.db, await clientId()), {
    made_by: 'registration',
    claimed_name: 'Sample agent',
  })
  server.tick(400)
  t.equal(await agent.whoami(mustNotLogIn), `${user.sub} by ${await clientId()}`)
})

t.test('the MCP SDK as it is: an agent that an administrator has registered', async t => {
  const { server, url, user } = await world(t)
  const { id } = await server.client('agent', {
    isPublic: true,
    grant_types: 'authorization_code refresh_token',
    redirect_uris: agentRedirectUri,
    scope: scopes.join(' '),
    resources: url,
  })
  const agent = openAgent(t, url, { store: agentStore({ known: { client_id: id } }) })
  t.equal(await agent.whoami(person(server, user)), `${user.sub} by agent`)
  server.tick(400)
  t.equal(await agent.whoami(mustNotLogIn), `${user.sub} by agent`)
})

t.test(
  'RFC 8707 and RFC 3986 §6.2.3: an API at a root is named with a slash at its end, and without',
  async t => {
    const server = await startServer(t)
    const [bare, slashed] = ['https://bare.example', 'https://slashed.example/']
    for (const uri of [bare, slashed, 'https://deep.example/mcp']) await server.resource(uri)
    const redirectUri = 'https://agent.example/callback'
    const client = await server.client('agent', {
      isPublic: true,
      grant_types: 'authorization_code refresh_token',
      redirect_uris: redirectUri,
      resources: `${bare} ${slashed} https://deep.example/mcp`,
    })
    const browser = openBrowser(server)
    const logIn = person(server, await server.user())
    const verifier = 'a'.repeat(43)
    const parameters = (resource: string) => ({
      ...{ response_type: 'code', client_id: client.id, redirect_uri: redirectUri, scope: 'read', resource },
      ...{ code_challenge: sha256(verifier).toString('base64url'), code_challenge_method: 'S256' },
    })
    for (const [named, aud] of [
      [`${bare}/`, bare],
      [bare, bare],
      ['https://slashed.example', slashed],
    ] as const) {
      const begun = `https://as.example/authorize?${new URLSearchParams(parameters(named))}`
      const back = await logIn(new URL(begun))
      const code = back.searchParams.get('code') ?? ''
      const redeem = {
        grant_type: 'authorization_code',
        code,
        code_verifier: verifier,
        redirect_uri: redirectUri,
      }
      const tokens = await server.post('/token', { client_id: client.id, ...redeem, resource: named })
      t.equal(audOf(tokens.json().access_token), aud, `at /authorize and /token ${named}`)
      const { refresh_token } = tokens.json()
      const refreshed = await server.refresh(client, refresh_token, { resource: named })
      t.equal(audOf(refreshed.access_token), aud, `at a refresh ${named}`)
      const pushed = await server.post('/par', parameters(named))
      t.equal(pushed.statusCode, 201, `at /par ${named}`)
    }
    for (const resource of [
      'https://deep.example/mcp/',
      'https://bare.example//',
      'https://other.example/',
    ]) {
      const page = await browser.open(`/authorize?${new URLSearchParams(parameters(resource))}`)
      t.equal(page.url.searchParams.get('error'), 'invalid_target', resource)
    }
  },
)

const audOf = (token: string) =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()).aud
