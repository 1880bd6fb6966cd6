/*
 * An MCP server whose tool says who calls it: agents find their way to a token by themselves.
 *
 *   npm start                   in one terminal: a server, and what to log in with
 *   npm run example:mcp         in another one: this MCP server
 *   npm run example:agent       in a third one: an agent that calls it
 */
import process from 'node:process'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import { resourceServer } from '@mintmark/resource-server/connect'
import express from 'express'

const issuer = process.env['ISSUER'] ?? 'http://127.0.0.1:9000'
const port = Number(process.env['PORT'] ?? 8091)

const requireScope = resourceServer({
  issuer,
  // Its own URL, character by character.
  audience: `http://127.0.0.1:${port}/mcp`,
  metadata: { scopes: ['read'], name: 'Orders' },
})

const app = express()
app.use(requireScope.metadata)
app.post('/mcp', requireScope('read'), express.json(), async (request, response) => {
  const server = new McpServer({ name: 'orders', version: '1.0.0' })
  server.registerTool('whoami', { description: 'Says who calls' }, () => ({
    content: [{ type: 'text', text: `${request.accessToken?.sub} by ${request.accessToken?.client_id}` }],
  }))
  const transport = new StreamableHTTPServerTransport({})
  response.on('close', () => void transport.close())
  await server.connect(transport as Transport)
  await transport.handleRequest(request, response, request.body)
})
app.listen(port, '127.0.0.1', () => console.log(`listening at http://127.0.0.1:${port}/mcp`))
