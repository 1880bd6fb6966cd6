/*
 * A single-page app whose users log in with Mintmark. What matters is in app.js, which runs in the browser;
 * this file serves it, and the API that it calls.
 *
 *   npm start                   in one terminal: a server, and what to log in with
 *   npm run example:spa         in another one: this app, at http://127.0.0.1:3001
 */
import { readFileSync } from 'node:fs'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { fastify } from 'fastify'
import { resourceServer } from '@mintmark/resource-server/fastify'

const issuer = process.env['ISSUER'] ?? 'http://127.0.0.1:9000'
const port = Number(process.env['PORT'] ?? 3001)
const home = new URL(`http://127.0.0.1:${port}/`)
const app = fastify()

// At localhost it would be another origin, which the server does not know.
app.addHook('onRequest', async (request, reply) => {
  if (request.host !== home.host) return reply.redirect(home.href)
})

await app.register(resourceServer, {
  issuer,
  audience: process.env['AUDIENCE'] ?? 'https://api.example',
  url: home.origin, // as DPoP proofs name it
})

app.get('/orders', { onRequest: app.requireScope('read') }, async ({ accessToken }) => ({
  of: accessToken.sub,
  orders: [],
}))

// Scripts come from here alone and talk to two servers alone: an attacker who gets some text into the page
// does not get a script into it, and that script could not send anything away.
const policy = `default-src 'none'; script-src 'self'; connect-src 'self' ${new URL(issuer).origin}; frame-ancestors 'none'`

const files = {
  '/': { file: './index.html', type: 'text/html' },
  '/callback': { file: './index.html', type: 'text/html' },
  '/app.js': { file: './app.js', type: 'text/javascript' },
  '/oauth4webapi.js': { file: 'oauth4webapi', type: 'text/javascript' },
}
for (const [path, { file, type }] of Object.entries(files)) {
  const text = readFileSync(fileURLToPath(import.meta.resolve(file)), 'utf8')
  app.get(path, async (_request, reply) =>
    reply
      .headers({
        'content-security-policy': policy,
        'referrer-policy': 'no-referrer',
        'cache-control': 'no-cache',
      })
      .type(type)
      .send(text),
  )
}

app.get('/config.json', async () => ({ issuer }))

await app.listen({ port })
console.log(`listening: ${home.href}`)
