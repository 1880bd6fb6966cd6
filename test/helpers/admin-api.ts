import { createHash } from 'node:crypto'
import type { ClientTable } from '../../db/schema.ts'
import { adminScopes } from '../../src/admin/administrators.ts'
import { proofClaims, proofHeader, signJwt, testKey } from './proofs.ts'
import type { TestServer, TestUser } from './server.ts'

export interface Ask {
  (
    method: 'GET' | 'HEAD' | 'POST' | 'PATCH' | 'PUT' | 'DELETE',
    path: string,
    payload?: object | string,
    headers?: Readonly<Record<string, string>>,
  ): ReturnType<TestServer['request']>
  /** The same caller at another instance. */
  at(server: TestServer): Ask
  /** The headers by which it is let in, for a request that is sent in another way. */
  credentials(method: string, path: string): Promise<Readonly<Record<string, string>>>
}

const allScopes = adminScopes.join(' ')

/** An administrator's program with a token of this scope, separated by spaces; all, unless told. */
export async function adminClient(
  server: TestServer,
  scope = allScopes,
  settings: Partial<ClientTable> = {},
): Promise<Ask> {
  const id = `ops-${++count}`
  const client = await server.client(id, {
    is_admin: 1,
    scope: allScopes,
    grant_types: 'client_credentials',
    ...settings,
  })
  const token = await server.post('/token', { grant_type: 'client_credentials', scope, ...client.form })
  if (token.statusCode !== 200) throw new Error(token.body)
  return asking(server, () => ({ authorization: `Bearer ${token.json().access_token}` }))
}

let count = 0

/** A person's program, by a log-in of now, with a DPoP key unless told. */
export async function adminPerson(
  server: TestServer,
  user: TestUser,
  { scope = allScopes, isBound = true, base = 'https://as.example' } = {},
): Promise<Ask> {
  const key = await testKey()
  const client = await server.client(`console-${++count}`, { isPublic: true, scope: allScopes })
  const { ctx } = server
  const proof = (claims: object) =>
    signJwt(key, proofHeader(key), proofClaims(ctx.clock.now(), { ...claims }))
  const { headers } = await server.post('/token', { client_id: 'x' }, { dpop: await proof({}) })
  const nonce = String(headers['dpop-nonce'])
  const form = {
    grant_type: 'password',
    username: user.username,
    password: user.password,
    scope,
    ...client.form,
  }
  const token = await server.post('/token', form, isBound ? { dpop: await proof({ nonce }) } : {})
  if (token.statusCode !== 200) throw new Error(token.body)
  const { access_token } = token.json()
  const ath = createHash('sha256').update(access_token).digest('base64url')
  return asking(server, async (htm, path) =>
    isBound
      ? {
          authorization: `DPoP ${access_token}`,
          dpop: await proof({ htm, htu: `${base}/admin/v1${path.split('?')[0]}`, ath }),
        }
      : { authorization: `Bearer ${access_token}` },
  )
}

type Credentials = Readonly<Record<string, string>>

function asking(
  server: TestServer,
  credentials: (method: string, path: string) => Credentials | Promise<Credentials>,
): Ask {
  const ask = async (...[method, path, payload, headers = {}]: Parameters<Ask>) =>
    server.request({
      method,
      url: `/admin/v1${path}`,
      headers: {
        ...(await credentials(method, path)),
        ...(payload !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(payload !== undefined && { payload }),
    })
  return Object.assign(ask, {
    at: (server: TestServer) => asking(server, credentials),
    credentials: async (method: string, path: string) => credentials(method, path),
  })
}
