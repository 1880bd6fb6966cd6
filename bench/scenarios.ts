import { connections, each, getting, headers, posting, refreshing } from './callers.ts'
import type { Caller } from './load.ts'
import {
  clientId,
  clientSecret,
  password,
  resource,
  startMintmark,
  username,
  type Mintmark,
} from './mintmark.ts'
import { startChild, type Child } from './processes.ts'

/** The servers of one run, all on the same core. */
export interface Servers {
  readonly mintmark: Mintmark
  /** A bare Fastify POST. */
  readonly bare: Child
  /** node-oidc-provider in memory. */
  readonly oidcProvider: Child
}

export interface Scenario {
  readonly title: string
  /** What the server named does, one caller for each connection. Missing where it has no such work. */
  readonly callers: Partial<
    Record<keyof Servers, (servers: Servers) => Promise<readonly Caller[]> | readonly Caller[]>
  >
  /** The least that the ratio to each of the others should be. */
  readonly goals: Partial<Record<'bare' | 'oidcProvider', number>>
}

export async function startServers(cpu: number): Promise<Servers> {
  const mintmark = await startMintmark({
    sessions: connections,
    cpu,
    env: { MINTMARK_CORS_ORIGINS: 'https://app.example' },
  })
  const bare = await startChild(['bench/servers/bare.ts'], { cpu })
  const args = [String(connections), clientId, clientSecret, resource]
  const oidcProvider = await startChild(['bench/servers/oidc-provider.ts', ...args], { cpu })
  return { mintmark, bare, oidcProvider }
}

const hasToken = (answer: Record<string, unknown>) => typeof answer['access_token'] === 'string'
const isActive = (answer: Record<string, unknown>) => answer['active'] === true

const bareCallers = () =>
  each(() => posting('/token', `grant_type=refresh_token&refresh_token=${'x'.repeat(88)}`, hasToken))

async function freshToken(url: string, grant: string): Promise<string> {
  const response = await fetch(`${url}/token`, { method: 'POST', headers, body: grant })
  const answer = (await response.json()) as { access_token: string }
  return answer.access_token
}

const oidcTokens = ({ oidcProvider }: Servers): string[] => {
  const line = oidcProvider.said.find(said => said.startsWith('{"refreshTokens"')) ?? '{}'
  return JSON.parse(line).refreshTokens
}

export const scenarios: ReadonlyMap<string, Scenario> = new Map<string, Scenario>([
  [
    'refresh',
    {
      title: 'POST /token, refresh_token: durable, rotating, ES256',
      callers: {
        mintmark: ({ mintmark }) => mintmark.refreshTokens.map(refreshing),
        bare: bareCallers,
        oidcProvider: servers => oidcTokens(servers).map(refreshing),
      },
      goals: { bare: 0.33, oidcProvider: 5 },
    },
  ],
  [
    'client-credentials',
    {
      title: 'POST /token, client_credentials: ES256',
      callers: {
        mintmark: () => each(() => posting('/token', 'grant_type=client_credentials', hasToken)),
        bare: bareCallers,
        oidcProvider: () => each(() => posting('/token', 'grant_type=client_credentials', hasToken)),
      },
      goals: { bare: 0.4 },
    },
  ],
  [
    'introspect',
    {
      title: 'POST /introspect of a live access token, seen before',
      callers: {
        mintmark: async ({ mintmark }) => {
          const token = await freshToken(mintmark.url, 'grant_type=client_credentials')
          return each(() => posting('/introspect', `token=${token}`, isActive))
        },
        bare: bareCallers,
      },
      goals: { bare: 0.4 },
    },
  ],
  [
    'introspect-first',
    {
      title: 'POST /introspect of a live access token, each for the first time',
      callers: {
        mintmark: async ({ mintmark }) => {
          const tokens: string[] = []
          for (let i = 0; i < 40; i++) {
            const grants = each(() => ({ next: () => ({}) }) as Caller).map(() =>
              freshToken(mintmark.url, 'grant_type=client_credentials'),
            )
            tokens.push(...(await Promise.all(grants)))
          }
          // More tokens than the server remembers would be needed to see no token twice, so the run is short of them.
          return each(i => {
            let at = i
            return {
              next: () => {
                at += connections
                return {
                  method: 'POST',
                  path: '/introspect',
                  headers,
                  body: `token=${tokens[at % tokens.length]}`,
                }
              },
              answered: (status, text) => {
                if (status !== 200 || !isActive(JSON.parse(text)))
                  throw new Error(`/introspect answered ${text}`)
              },
            }
          })
        },
        bare: bareCallers,
      },
      goals: { bare: 0.25 },
    },
  ],
  [
    'jwks',
    {
      title: 'GET /.well-known/jwks.json',
      callers: { mintmark: () => each(() => getting('/.well-known/jwks.json', {}, 200)), bare: bareCallers },
      goals: { bare: 0.7 },
    },
  ],
  [
    'jwks-304',
    {
      title: 'GET /.well-known/jwks.json, not modified',
      callers: {
        mintmark: async ({ mintmark }) => {
          const { headers } = await fetch(`${mintmark.url}/.well-known/jwks.json`)
          const etag = headers.get('etag') ?? ''
          return each(() => getting('/.well-known/jwks.json', { 'if-none-match': etag }, 304))
        },
        bare: bareCallers,
      },
      goals: { bare: 0.7 },
    },
  ],
  [
    'password',
    {
      title: 'POST /token, password: bounded by the argon2id hash',
      callers: {
        mintmark: () =>
          // As many as are hashed at once, with some waiting; more would be turned away.
          Array.from({ length: 8 }, () =>
            posting(
              '/token',
              `grant_type=password&username=${username}&password=${encodeURIComponent(password)}`,
              hasToken,
            ),
          ),
        bare: bareCallers,
      },
      goals: {},
    },
  ],
])
