import { createVerifier } from 'fast-jwt'
import { createLocalJWKSet, decodeProtectedHeader, jwtVerify, type JWTPayload } from 'jose'
import { createPublicKey } from 'node:crypto'
import type { Test } from 'tap'
import type { ClientTable } from '../../db/schema.ts'
import { deliver, startReceivers, status, toLoopback, type Receivers } from './receivers.ts'
import { startServer, type TestClient, type TestServer, type TestUser } from './server.ts'

export const orders = 'https://orders.example'
export const mail = 'https://mail.example'

export const caep = 'https://schemas.openid.net/secevent/caep/event-type/'
export const risc = 'https://schemas.openid.net/secevent/risc/event-type/'
export const ssf = 'https://schemas.openid.net/secevent/ssf/event-type/'

export const push = 'urn:ietf:rfc:8935'
export const poll = 'urn:ietf:rfc:8936'

type Method = 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE'
type Response = Awaited<ReturnType<TestServer['request']>>

/** The client of a receiver, as its own software knows it. */
export interface ReceiverClient extends TestClient {
  /** Asks with a token of its own. */
  ask(method: Method, path: string, body?: object | string, headers?: object): Promise<Response>
}

export interface StreamWorld {
  readonly server: TestServer
  readonly receivers: Receivers
  /** Has tokens for both APIs. */
  readonly app: TestClient
  readonly ada: TestUser
  receiver(id: string, introspects: string, settings?: Partial<ClientTable>): Promise<ReceiverClient>
  /** Makes a stream that is pushed to a path, which takes everything. Returns its id. */
  pushTo(receiver: ReceiverClient, path: string, settings?: object): Promise<string>
  /** Delivers what there is, and returns what has come to the path since the last time, verified. */
  arrived(path: string): Promise<readonly EventToken[]>
  /** The claims of a token, by two libraries; rejects if one of them refuses it. */
  verify(jwt: string, audience: string): Promise<EventToken>
  /** Begins a session and ends it, and returns its id. */
  endOne(resource?: string): Promise<string>
}

/** The claims of a security event token. */
export interface EventToken extends JWTPayload {
  readonly sub_id: Readonly<Record<string, unknown>>
  readonly events: Readonly<Record<string, Readonly<Record<string, unknown>>>>
}

/** Takes everything. */
export const accepted = status(202)

export const sidOf = (token: string): string =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()).sid

/** The type of the one event, by the last part of its URI, and its members. */
export function eventOf({
  events,
}: EventToken): readonly [type: string, members: Readonly<Record<string, unknown>>] {
  const [[uri = '', members = {}] = [], ...others] = Object.entries(events)
  if (others.length > 0) throw new Error('a token has more than one event')
  return [uri.split('/').at(-1) ?? '', members]
}

/** Two APIs, an app with tokens for both, a user, and a server at which receivers listen. */
export async function streamWorld(t: Test, env: Readonly<Record<string, string>> = {}): Promise<StreamWorld> {
  const server = await startServer(t, { ...toLoopback, ...env })
  const receivers = await startReceivers(t)
  await server.resource(orders)
  await server.resource(mail)
  const app = await server.client('app', { resources: `${orders} ${mail}` })
  const ada = await server.user()
  const seen = new Map<string, number>()

  const verify: StreamWorld['verify'] = async (jwt, audience) => {
    const jwks = (await server.request({ url: '/.well-known/jwks.json' })).json()
    const options = { issuer: 'https://as.example', audience, typ: 'secevent+jwt', algorithms: ['RS256'] }
    const { payload } = await jwtVerify(jwt, createLocalJWKSet(jwks), {
      ...options,
      currentDate: new Date(server.ctx.clock.now() * 1000),
    })
    const { kid } = decodeProtectedHeader(jwt)
    const jwk = jwks.keys.find((key: { kid: string }) => key.kid === kid)
    const key = createPublicKey({ key: jwk, format: 'jwk' }).export({ type: 'spki', format: 'pem' })
    createVerifier({
      key: String(key),
      allowedIss: options.issuer,
      allowedAud: audience,
      checkTyp: options.typ,
    })(jwt)
    return payload as EventToken
  }
  const receiver: StreamWorld['receiver'] = async (id, introspects, settings = {}) => {
    const client = await server.client(id, {
      introspects,
      resources: '',
      grant_types: 'client_credentials',
      scope: 'ssf.read ssf.manage',
      ...settings,
    })
    const tokenOf = async () =>
      (await server.post('/token', { grant_type: 'client_credentials', ...client.form })).json().access_token
    const ask: ReceiverClient['ask'] = async (method, url, body, headers = {}) =>
      server.request({
        method,
        url,
        headers: {
          authorization: `Bearer ${await tokenOf()}`,
          ...(body !== undefined && { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body !== undefined && { payload: typeof body === 'string' ? body : JSON.stringify(body) }),
      })
    return { ...client, ask }
  }
  return {
    server,
    receivers,
    app,
    ada,
    verify,
    receiver,
    pushTo: async (client, path, settings = {}) => {
      receivers.answer(path, accepted)
      const delivery = { method: push, endpoint_url: receivers.origin + path }
      const made = await client.ask('POST', '/ssf/streams', { delivery, ...settings })
      if (made.statusCode !== 201) throw new Error(made.body)
      return made.json().stream_id
    },
    arrived: async path => {
      await deliver(server)
      const all = receivers.at(path)
      const since = all.slice(seen.get(path) ?? 0)
      seen.set(path, all.length)
      return Promise.all(
        since.map(async ({ body }) =>
          verify(body, JSON.parse(Buffer.from(body.split('.')[1] ?? '', 'base64url').toString()).aud),
        ),
      )
    },
    endOne: async (resource = orders) => {
      const { access_token, refresh_token } = await server.logIn(app, ada, { resource })
      await server.revoke(app, refresh_token)
      return sidOf(access_token)
    },
  }
}
