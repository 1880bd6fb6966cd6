import cluster from 'node:cluster'
import { generateKeyPairSync, type JsonWebKey } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import Provider, { type Configuration } from 'oidc-provider'
import LRU from 'oidc-provider/lib/helpers/lru.js'
import MemoryAdapter from 'oidc-provider/lib/adapters/memory_adapter.js'

/*
 * node bench/servers/oidc-provider.ts SESSIONS CLIENT-ID CLIENT-SECRET RESOURCE [PROCESSES]
 *
 * node-oidc-provider with its in-memory adapter, on the same work with the same algorithm: rotating refresh
 * tokens and JWT access tokens signed with ES256. Nothing it does is durable. It says its port and its first
 * refresh tokens. Several processes are a cluster of Node's: each knows the first tokens, and then only what
 * it has given itself, so a connection goes on with its own tokens. A store that they share would cost more.
 */
const [sessions = 64, clientId = '', clientSecret = '', resource = '', processes = 1] = process.argv.slice(2)

/** What all processes know. */
interface Shared {
  readonly jwk: JsonWebKey
  readonly rows: Map<string, unknown>
}

const newKey = () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' })
const { jwk, rows }: Shared = cluster.isWorker
  ? (await once(process, 'message'))[0]
  : { jwk: newKey(), rows: new Map() }

let isFirst = cluster.isPrimary

/**
 * By default it keeps its last thousand rows: a connection that is slower than others finds its token gone.
 * Those of the first tokens are kept for good.
 */
class Store extends LRU {
  override get(key: string): unknown {
    return super.get(key) ?? rows.get(key)
  }
  override set(...[key, value, options]: Parameters<LRU['set']>): void {
    if (isFirst) rows.set(key, value)
    else super.set(key, value, options)
  }
}
const store = new Store({ maxSize: 5000 })

const scope = 'orders:read orders:write'
const configuration: Configuration = {
  adapter: (model: string) => new MemoryAdapter(model, store),
  jwks: { keys: [{ ...(jwk as { kty: 'EC' }), alg: 'ES256', use: 'sig' }] },
  clients: [
    {
      client_id: clientId,
      client_secret: clientSecret,
      grant_types: ['refresh_token', 'client_credentials', 'authorization_code'],
      redirect_uris: ['https://app.example/callback'],
      id_token_signed_response_alg: 'ES256',
    },
  ],
  scopes: ['offline_access', ...scope.split(' ')],
  rotateRefreshToken: true,
  ttl: { AccessToken: 300, ClientCredentials: 300, RefreshToken: 30 * 86_400, Grant: 180 * 86_400 },
  findAccount: (_ctx, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
  features: {
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => resource,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope,
        audience: resource,
        accessTokenFormat: 'jwt',
        accessTokenTTL: 300,
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
}

const provider = new Provider('http://127.0.0.1', configuration)

async function makeTokens(): Promise<readonly string[]> {
  const client = await provider.Client.find(clientId)
  if (!client) throw new Error('unreachable: the client was configured just now')
  const tokens: string[] = []
  for (let i = 0; i < Number(sessions); i++) {
    const accountId = `user-${i}`
    const grant = new provider.Grant({ accountId, clientId })
    grant.addOIDCScope('offline_access')
    grant.addResourceScope(resource, scope)
    const grantId = await grant.save()
    const token = new provider.RefreshToken({
      accountId,
      client,
      grantId,
      gty: 'authorization_code',
      scope: `offline_access ${scope}`,
      resource,
      authTime: Math.floor(Date.now() / 1000),
    } as unknown as ConstructorParameters<typeof provider.RefreshToken>[0])
    tokens.push(await token.save())
  }
  return tokens
}

const listen = async (): Promise<number> => {
  const server = provider.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

const startWorker = async (): Promise<number> => {
  const worker = cluster.fork()
  worker.send({ jwk, rows } satisfies Shared)
  const [address] = await once(worker, 'listening')
  return address.port
}

if (cluster.isWorker) await listen()
else {
  const refreshTokens = await makeTokens()
  isFirst = false
  cluster.setupPrimary({ serialization: 'advanced' })
  const isOne = Number(processes) === 1
  const [port] = await Promise.all(
    isOne ? [listen()] : Array.from({ length: Number(processes) }, startWorker),
  )
  process.stdout.write(`${JSON.stringify({ refreshTokens })}\n${JSON.stringify({ port })}\n`)
}
