/*
 * A gateway on Fastify that calls another API for its callers, with a token for that one alone and the scopes
 * that this takes (RFC 8693).
 *
 *   npm start                   in one terminal: a server, and a curl command for a first token
 *   npm run example:fastify     in another one: the API that is called
 *   npm run example:gateway     in a third one: this gateway
 *
 * The first token is for this gateway with `-d resource=https://gateway.example` at the end of that command:
 *
 *   curl -i http://127.0.0.1:8090/orders -H "Authorization: Bearer $TOKEN"
 */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { fastify } from 'fastify'
import { resourceServer } from '@mintmark/resource-server/fastify'
import * as client from 'openid-client'

const issuer = new URL(process.env['ISSUER'] ?? 'http://127.0.0.1:9000')
const api = process.env['API'] ?? 'http://127.0.0.1:8080'

const keyFile = process.env['CLIENT_KEY'] ?? join(process.env['MINTMARK_HOME'] ?? '', 'keys/demo-gateway.jwk')
if (!existsSync(keyFile)) {
  console.error(`There is no ${keyFile}: start the server first (npm start), which makes it.`)
  process.exit(1)
}
const jwk = JSON.parse(readFileSync(keyFile, 'utf8'))
const es256 = { name: 'ECDSA', namedCurve: 'P-256' }
const key = await crypto.subtle.importKey('jwk', jwk, es256, false, ['sign'])
const auth = client.PrivateKeyJwt({ key, kid: jwk.kid })
const config = await client
  .discovery(issuer, 'demo-gateway', undefined, auth, {
    // For a server on this machine alone: any other has https.
    execute: ['127.0.0.1', 'localhost'].includes(issuer.hostname) ? [client.allowInsecureRequests] : [],
  })
  .catch(error => {
    throw new Error(`${issuer.href} does not answer: start it with npm start`, { cause: error })
  })

/** A token for the API, until when it is good. */
interface Exchanged {
  readonly token: string
  readonly endsAt: number
}

/** By the hash of the token that was exchanged. */
const exchanged = new Map<string, Exchanged>()

/** The token for the API that this one may be exchanged for. It is kept as long as it is good. */
async function exchange(subjectToken: string): Promise<string> {
  const name = createHash('sha256').update(subjectToken).digest('base64')
  const kept = exchanged.get(name)
  if (kept && Date.now() < kept.endsAt) return kept.token
  for (const [other, { endsAt }] of exchanged) if (Date.now() >= endsAt) exchanged.delete(other)
  const grant = 'urn:ietf:params:oauth:grant-type:token-exchange'
  const { access_token: token, expires_in: seconds = 0 } = await client.genericGrantRequest(config, grant, {
    subject_token: subjectToken,
    subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    resource: 'https://api.example',
    scope: 'read',
  })
  exchanged.set(name, { token, endsAt: Date.now() + 1000 * (seconds - 10) })
  return token
}

const app = fastify({ logger: true })
await app.register(resourceServer, {
  issuer: issuer.href.replace(/\/$/, ''),
  audience: 'https://gateway.example',
})

app.get('/orders', { onRequest: app.requireScope('read') }, async (request, reply) => {
  const [, subjectToken = ''] = (request.headers.authorization ?? '').split(' ')
  const token = await exchange(subjectToken)
  const answer = await fetch(`${api}/orders`, { headers: { authorization: `Bearer ${token}` } })
  // The caller has done nothing wrong: its own token is good.
  if (!answer.ok) return reply.code(502).send({ error: `the API has answered ${answer.status}` })
  return answer.json()
})

await app.listen({ port: Number(process.env['PORT'] ?? 8090) })
