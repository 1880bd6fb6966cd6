import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { UnauthorizedError, type OAuthClientProvider } from '@modelcontextprotocol/sdk/client/auth.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import type { OAuthClientInformationMixed, OAuthTokens } from '@modelcontextprotocol/sdk/shared/auth.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import express from 'express'
import type { Test } from 'tap'
import { resourceServer } from '../../src/resource-server/connect.ts'
import type { TestServer } from './server.ts'

export const scopes = ['notes:read']

/** An MCP server on Express that tells who calls its one tool, guarded by the kit; its URL is the answer. */
export async function mcpServer(t: Pick<Test, 'teardown'>, { ctx }: TestServer): Promise<string> {
  const app = express()
  const listening = app.listen(0, '127.0.0.1')
  t.teardown(() => {
    listening.closeAllConnections()
    listening.close()
  })
  await once(listening, 'listening')
  const audience = `http://127.0.0.1:${(listening.address() as AddressInfo).port}/mcp`
  const { issuer } = ctx.config
  const now = () => ctx.clock.now() * 1000
  const requireScope = resourceServer({ issuer, audience, metadata: { scopes, name: 'Notes' }, now })
  app.use(requireScope.metadata)
  app.post('/mcp', requireScope(...scopes), express.json(), async (request, response) => {
    const server = new McpServer({ name: 'notes', version: '1.0.0' })
    server.registerTool('whoami', { description: 'Who calls' }, () => ({
      content: [{ type: 'text', text: `${request.accessToken?.sub} by ${request.accessToken?.client_id}` }],
    }))
    const transport = new StreamableHTTPServerTransport({})
    response.on('close', () => void transport.close())
    await server.connect(transport as Transport)
    await transport.handleRequest(request, response, request.body)
  })
  return audience
}

export const agentRedirectUri = 'http://127.0.0.1:33418/callback'

/** What an agent keeps, as its own software would write it down. */
export interface AgentStore extends OAuthClientProvider {
  /** Where it would send its user's browser. */
  sentTo: URL | undefined
  kept: OAuthTokens | undefined
}

/** The memory of an agent; `known` for one that an administrator has registered. */
export function agentStore(
  options: { readonly clientMetadataUrl?: string; readonly known?: OAuthClientInformationMixed } = {},
): AgentStore {
  let verifier = ''
  let { known } = options
  const store: AgentStore = {
    sentTo: undefined,
    kept: undefined,
    redirectUrl: agentRedirectUri,
    clientMetadata: {
      client_name: 'Sample agent',
      redirect_uris: [agentRedirectUri],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
    },
    ...(options.clientMetadataUrl !== undefined && { clientMetadataUrl: options.clientMetadataUrl }),
    state: () => 'state-of-the-agent',
    clientInformation: () => known,
    saveClientInformation: information => void (known = information),
    tokens: () => store.kept,
    saveTokens: tokens => void (store.kept = tokens),
    redirectToAuthorization: url => void (store.sentTo = url),
    saveCodeVerifier: text => void (verifier = text),
    codeVerifier: () => verifier,
  }
  return store
}

/** An agent that speaks MCP, by the SDK as it is. */
export interface Agent {
  /** Calls the tool; sends its user to log in first, where it has to. */
  whoami(logIn: (url: URL) => Promise<URL>): Promise<string>
}

export function openAgent(
  t: Pick<Test, 'teardown'>,
  url: string,
  { store, fetch: ownFetch = fetch }: { readonly store: AgentStore; readonly fetch?: typeof fetch },
): Agent {
  const options = {
    authProvider: store,
    fetch: ownFetch as (url: string | URL, init?: RequestInit) => Promise<Response>,
  }
  const open = () => new StreamableHTTPClientTransport(new URL(url), options)
  let connected: Client | undefined
  const connect = async () => {
    const client = new Client({ name: 'agent', version: '1.0.0' })
    const transport = open()
    t.teardown(() => client.close())
    try {
      await client.connect(transport as Transport)
      return client
    } catch (error) {
      if (!(error instanceof UnauthorizedError) || !store.sentTo) throw error
      return transport
    }
  }
  return {
    whoami: async logIn => {
      if (!connected) {
        let found = await connect()
        if (found instanceof StreamableHTTPClientTransport) {
          if (!store.sentTo) throw new Error('unreachable: it was checked')
          const back = await logIn(store.sentTo)
          await found.finishAuth(back.searchParams.get('code') ?? '')
          found = await connect()
        }
        if (!(found instanceof Client)) throw new Error('the agent is refused after its log-in')
        connected = found
      }
      const { content } = await connected.callTool({ name: 'whoami', arguments: {} })
      return String((content as { text?: string }[])[0]?.text)
    },
  }
}
