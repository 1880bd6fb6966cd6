/*
 * An agent that speaks MCP. Its user logs in with a browser, once; then it calls a tool.
 *
 *   npm start                   in one terminal: a server, and what to log in with
 *   npm run example:mcp         in another one: the MCP server that it calls
 *   npm run example:agent       in a third one: this agent
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import process from 'node:process'
import { UnauthorizedError, type OAuthClientProvider } from '@modelcontextprotocol/sdk/client/auth.js'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { OAuthTokens } from '@modelcontextprotocol/sdk/shared/auth.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'

const url = new URL(process.env['MCP_URL'] ?? 'http://127.0.0.1:8091/mcp')

// The browser brings the code to this program, at whichever port is free (RFC 8252 §7.3).
const callback = createServer().listen(0, '127.0.0.1')
await once(callback, 'listening')
const redirectUrl = `http://127.0.0.1:${(callback.address() as AddressInfo).port}/callback`

const state = crypto.randomUUID()
let verifier = ''
let tokens: OAuthTokens | undefined

const authProvider: OAuthClientProvider = {
  redirectUrl,
  clientMetadata: { redirect_uris: [redirectUrl] },
  clientInformation: () => ({ client_id: process.env['CLIENT_ID'] ?? 'demo-agent' }),
  state: () => state,
  tokens: () => tokens,
  saveTokens: received => void (tokens = received),
  saveCodeVerifier: text => void (verifier = text),
  codeVerifier: () => verifier,
  redirectToAuthorization: address => console.log(`Open this in your browser:\n\n${address.href}\n`),
}

/** The code that the browser brings. */
async function comeBack(): Promise<string> {
  for (;;) {
    const [{ url: path = '' }, response] = await once(callback, 'request')
    const { pathname, searchParams } = new URL(path, redirectUrl)
    if (pathname !== '/callback' || searchParams.get('state') !== state) {
      response.writeHead(404).end()
      continue
    }
    response.end('Go back to the agent.')
    const code = searchParams.get('code')
    if (code !== null) return code
    throw new Error(searchParams.get('error_description') ?? 'there is no code')
  }
}

const connect = async () => {
  const transport = new StreamableHTTPClientTransport(url, { authProvider })
  const agent = new Client({ name: 'agent', version: '1.0.0' })
  return { transport, agent, connected: agent.connect(transport as Transport) }
}

const first = await connect()
let { agent } = first
try {
  await first.connected
} catch (error) {
  if (!(error instanceof UnauthorizedError)) throw error
  await first.transport.finishAuth(await comeBack())
  const second = await connect()
  await second.connected
  agent = second.agent
}
const { content } = await agent.callTool({ name: 'whoami', arguments: {} })
const [said] = content as { text?: string }[]
console.log(`The MCP server says that this is ${said?.text}.`)
await agent.close()
callback.closeAllConnections()
callback.close()
