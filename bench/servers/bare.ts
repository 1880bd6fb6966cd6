import { fastify } from 'fastify'

/**
 * A bare Fastify POST that answers as many bytes as /token does, and a GET that answers as many as it is
 * asked for: what the framework costs by itself.
 */
const app = fastify()
app.removeAllContentTypeParsers()
app.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, (_request, body, done) =>
  done(null, body),
)
const answer = {
  access_token: 'x'.repeat(600),
  token_type: 'Bearer',
  refresh_token: 'y'.repeat(88),
  expires_in: 300,
}
app.post('/token', async () => answer)
const texts = new Map<string, string>()
app.get<{ Params: { count: string } }>('/bytes/:count', async ({ params: { count } }, reply) => {
  const text = texts.get(count) ?? 'z'.repeat(Number(count))
  texts.set(count, text)
  return reply.type('text/html; charset=utf-8').send(text)
})
await app.listen({ port: 0 })
process.stdout.write(`${JSON.stringify(app.server.address())}\n`)
