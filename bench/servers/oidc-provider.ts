import { generateKeyPairSync } from 'node:crypto'
import Provider, { type Configuration } from 'oidc-provider'
import LRU from 'oidc-provider/lib/helpers/lru.js'
import { setStorage } from 'oidc-provider/lib/adapters/memory_adapter.js'

/**
 * node-oidc-provider with its in-memory adapter, on the same work with the same algorithm: rotating refresh
 * tokens and JWT access tokens signed with ES256. Nothing it does is durable. It says its port and its first
 * refresh tokens.
 */
const [sessions = 64, clientId = '', clientSecret = '', resource = ''] = process.argv.slice(2)

const scope = 'orders:read orders:write'
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const configuration: Configuration = {
  jwks: { keys: [{ ...(privateKey.export({ format: 'jwk' }) as { kty: 'EC' }), alg: 'ES256', use: 'sig' }] },
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

// By default it keeps its last thousand rows: a connection that is slower than others finds its token gone.
setStorage(new LRU({ maxSize: 5000 }))
const provider = new Provider('http://127.0.0.1', configuration)
const client = await provider.Client.find(clientId)
if (!client) throw new Error('unreachable: the client was configured just now')

const refreshTokens: string[] = []
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
  refreshTokens.push(await token.save())
}

const server = provider.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as { port: number }
  process.stdout.write(`${JSON.stringify({ refreshTokens })}\n${JSON.stringify({ port })}\n`)
})
