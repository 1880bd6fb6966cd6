/*
 * An API on Express that takes Mintmark's access tokens.
 *
 *   npm start                   in one terminal: a server, and a curl command for a first token
 *   npm run example:express     in another one: this API
 *   curl -i http://127.0.0.1:8080/orders -H "Authorization: Bearer $TOKEN"
 *
 * After `./mintmark session revoke --user demo` the same request is refused within a minute.
 */
import process from 'node:process'
import express from 'express'
import { resourceServer } from '@mintmark/resource-server/connect'

const app = express()

const requireScope = resourceServer({
  issuer: process.env.ISSUER ?? 'http://127.0.0.1:9000',
  audience: process.env.AUDIENCE ?? 'https://api.example',
  onRefusal: error => console.warn(error.code, error.cause),
})

app.get('/', (_request, response) => response.json({ hello: 'anybody' }))

app.get('/orders', requireScope('read'), (request, response) => {
  response.json({ of: request.accessToken.sub, orders: [] })
})

app.post('/orders', requireScope('read', 'write'), (_request, response) => response.sendStatus(201))

// Money needs two factors, shown in the last five minutes: any other log-in is told so, and what to ask for (RFC 9470).
const sure = requireScope.requireAuthentication({ acr: 'mfa', maxAge: 300 })
app.post('/payments', requireScope('read'), sure, (request, response) => {
  response.json({ paidBy: request.accessToken.sub })
})

app.listen(Number(process.env.PORT ?? 8080), '127.0.0.1', () => console.log('listening'))
