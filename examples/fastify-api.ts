/*
 * An API on Fastify that takes Mintmark's access tokens.
 *
 *   npm start                   in one terminal: a server, and a curl command for a first token
 *   npm run example:fastify     in another one: this API
 *   curl -i http://127.0.0.1:8080/orders -H "Authorization: Bearer $TOKEN"
 *
 * After `./mintmark session revoke --user demo` the same request is refused within a minute.
 */
import process from 'node:process'
import { fastify } from 'fastify'
import { resourceServer } from '@mintmark/resource-server/fastify'

const app = fastify({ logger: true })

await app.register(resourceServer, {
  issuer: process.env['ISSUER'] ?? 'http://127.0.0.1:9000',
  audience: process.env['AUDIENCE'] ?? 'https://api.example',
})

app.get('/', async () => ({ hello: 'anybody' }))

app.get('/orders', { onRequest: app.requireScope('read') }, async ({ accessToken }) => ({
  of: accessToken.sub,
  orders: [],
}))

app.post('/orders', { onRequest: app.requireScope('read', 'write') }, async (_request, reply) =>
  reply.code(201).send(),
)

// Money needs two factors, shown in the last five minutes: any other log-in is told so, and what to ask for
// (RFC 9470).
const sure = app.requireAuthentication({ acr: 'mfa', maxAge: 300 })
app.post('/payments', { onRequest: [app.requireScope('read'), sure] }, async ({ accessToken }) => ({
  paidBy: accessToken.sub,
}))

await app.listen({ port: Number(process.env['PORT'] ?? 8080) })
