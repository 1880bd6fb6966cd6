import { decodeJwt } from 'jose'
import { administrator, userPath } from './administrator.ts'
import {
  bareCallers,
  connections,
  each,
  freshToken,
  getting,
  hasToken,
  headers,
  isActive,
  posting,
  refreshing,
  revalidating,
} from './callers.ts'
import { openDocumentSite } from './documents.ts'
import { grantScenarios } from './grants.ts'
import { load, type Caller, type EndlessCaller } from './load.ts'
import {
  clientId,
  clientSecret,
  password,
  resource,
  startBeside,
  startMintmark,
  username,
  type Mintmark,
} from './mintmark.ts'
import { issuerOf, logInPage, openCodes, personsToken, redemption, webHeaders } from './people.ts'
import { startMintmarkOnPostgres } from './postgres.ts'
import { issuerJwks, withAssertions, withProofs } from './proofs.ts'
import { startChild, type Child } from './processes.ts'
import type { Scenario, Servers } from './scenario.ts'

/** So many scenarios refresh sessions of their own, one for each connection. */
const refreshGroups = 6

/** Each can be revoked once. */
const revocable = 60_000

/** About as many as a server introspects. */
const introspectionsPerSecond = 15_000

/** Starts what the scenarios need. `profileDirectory` is where Mintmark's profile goes when it ends. */
export async function startServers(
  names: readonly string[],
  { cpu, profileDirectory }: { readonly cpu: number; readonly profileDirectory: string | undefined },
): Promise<Servers> {
  const site = names.includes('par-document') ? await openDocumentSite() : undefined
  const env = { MINTMARK_CORS_ORIGINS: 'https://app.example', ...site?.env }
  const started = await startMintmark({
    sessions: refreshGroups * connections + (names.includes('revoke') ? revocable : 0),
    cpu,
    env,
    nodeArgs:
      profileDirectory === undefined
        ? []
        : ['--cpu-prof', '--cpu-prof-interval=200', `--cpu-prof-dir=${profileDirectory}`],
  })
  const stop = async () => {
    await started.stop()
    site?.close()
  }
  const mintmark: Mintmark = { ...started, stop, documentClientId: site?.clientId }
  const bare = await startChild(['bench/servers/bare.ts'], { cpu })
  const args = [String(connections), clientId, clientSecret, resource]
  const oidcProvider = await startChild(['bench/servers/oidc-provider.ts', ...args], { cpu })
  const mintmarkPlain = { ...mintmark, stop: async () => {} }
  const page = await logInPage(mintmark)
  const pageBytes = await bytesOf(`${mintmark.url}${page.path}`, { cookie: page.cookie })
  const startFloor = (...databaseUrl: readonly string[]) => {
    const numbers = [connections, pageBytes].map(String)
    const env = { ISSUER_JWKS: JSON.stringify(issuerJwks.keys) }
    return startChild(['bench/servers/floor.ts', ...numbers, ...databaseUrl], { cpu, env })
  }
  return {
    mintmark,
    mintmarkPlain,
    bare,
    oidcProvider,
    ...(names.includes('introspect-elsewhere') && { mintmarkBeside: await startBeside(mintmark, cpu) }),
    floor: await startFloor(),
    ...(names.includes('refresh-postgres') && (await startOnPostgres())),
  }

  async function startOnPostgres() {
    const mintmarkOnPostgres = await startMintmarkOnPostgres({ sessions: connections, cpu, env })
    const { cluster } = mintmarkOnPostgres
    return {
      floorOnPostgres: await startFloor(cluster.url(await cluster.createDatabase())),
      mintmarkOnPostgres,
    }
  }
}

const minting = () => each(() => posting('/token', 'grant_type=client_credentials', hasToken))

/** Access tokens that were not looked at yet. */
const fresh: string[] = []

async function mint({ mintmark }: Servers, seconds: number): Promise<void> {
  fresh.length = 0
  const keep = (answer: Record<string, unknown>) => {
    fresh.push(String(answer['access_token']))
    return hasToken(answer)
  }
  const keeping = () => posting('/token', 'grant_type=client_credentials', keep)
  while (fresh.length < seconds * introspectionsPerSecond) await load(mintmark.url, each(keeping), 1)
}

/** Introspects one token again and again. */
async function introspectingOne({ url }: Child): Promise<readonly Caller[]> {
  const token = await freshToken(url, 'grant_type=client_credentials')
  return each(() => posting('/introspect', `token=${token}`, isActive))
}

/** Introspects each fresh token once; when there are none left, the run is over. */
const introspecting = () => {
  const introspection = posting('/introspect', '', isActive)
  const next = () => {
    const token = fresh.pop()
    return token === undefined ? undefined : { ...introspection.next(), body: `token=${token}` }
  }
  return each(() => ({ ...introspection, next }))
}

/** A list is there once a session has a place in it. */
async function statusListPath({ mintmark }: Servers): Promise<string> {
  const token = await freshToken(mintmark.url, 'grant_type=client_credentials')
  const { status } = decodeJwt<{ status: { status_list: { uri: string } } }>(token)
  return new URL(status.status_list.uri).pathname
}

/** Refreshes the sessions that a server said it has. */
const refreshingSaid = (server: Child | undefined): EndlessCaller[] => {
  const line = server?.said.find(said => said.startsWith('{"refreshTokens"')) ?? '{"refreshTokens":[]}'
  const { refreshTokens } = JSON.parse(line) as { refreshTokens: string[] }
  return refreshTokens.map(refreshing)
}

const refreshers = ({ refreshTokens }: Mintmark, group: number): EndlessCaller[] =>
  refreshTokens.slice(group * connections, (group + 1) * connections).map(refreshing)

/** Codes that were not redeemed yet. */
const codes: string[] = []

/** More than a server redeems in a second, so that a code is new when its turn comes. */
const redemptionsPerSecond = 6000

let newCode: (() => string) | undefined

async function codeMaker({ mintmark }: Servers): Promise<() => string> {
  newCode ??= await openCodes(mintmark)
  return newCode
}

async function mintCodes(servers: Servers, seconds: number): Promise<void> {
  const make = await codeMaker(servers)
  codes.length = 0
  while (codes.length < seconds * redemptionsPerSecond) codes.push(make())
}

/** Redeems each code once; when there are none left, the run is over. */
const redeeming = (nextCode: () => string | undefined) => {
  const request = posting('/token', '', answer => hasToken(answer) && typeof answer['id_token'] === 'string')
  const next = () => {
    const code = nextCode()
    return code === undefined ? undefined : { ...request.next(), headers: webHeaders, body: redemption(code) }
  }
  return each(() => ({ ...request, next }))
}

async function userinfoHeaders(servers: Servers): Promise<Record<string, string>> {
  const make = await codeMaker(servers)
  return { authorization: `Bearer ${await personsToken(servers.mintmark, make())}` }
}

let administering: ReturnType<typeof administrator> | undefined

const administratorOf = (mintmark: Mintmark) => (administering ??= administrator(mintmark))

async function bytesOf(url: string, withHeaders: Record<string, string>): Promise<number> {
  const response = await fetch(url, { headers: withHeaders })
  return (await response.arrayBuffer()).byteLength
}

/** A bare GET of as many bytes as ours answers. */
async function gettingAsMany(
  { mintmark }: Servers,
  path: string,
  withHeaders: Record<string, string>,
): Promise<readonly Caller[]> {
  const byteLength = await bytesOf(`${mintmark.url}${path}`, withHeaders)
  process.stderr.write(`${path.split('?')[0]} answers ${byteLength} bytes\n`)
  return each(() => getting(`/bytes/${byteLength}`))
}

export const scenarios: ReadonlyMap<string, Scenario> = new Map<string, Scenario>([
  [
    'refresh',
    {
      title: 'POST /token, refresh_token: durable, rotating, ES256',
      callers: {
        mintmark: ({ mintmark }) => refreshers(mintmark, 0),
        bare: bareCallers,
        floor: ({ floor }) => refreshingSaid(floor),
        oidcProvider: ({ oidcProvider }) => refreshingSaid(oidcProvider),
      },
      goals: { bare: 0.33, oidcProvider: 5 },
    },
  ],
  [
    'refresh-dpop',
    {
      title: 'The same with a DPoP proof: one more signature to verify, and one more row',
      callers: {
        mintmark: async ({ mintmark }) => {
          const issuer = await issuerOf(mintmark.url)
          return refreshers(mintmark, 1).map(caller => withProofs(caller, issuer))
        },
        mintmarkPlain: ({ mintmarkPlain }) => refreshers(mintmarkPlain, 2),
      },
      goals: {},
    },
  ],
  [
    'refresh-private-key-jwt',
    {
      title: 'The same with private_key_jwt: one more signature to verify, and one more row',
      callers: {
        mintmark: async ({ mintmark }) => {
          const issuer = await issuerOf(mintmark.url)
          return refreshers(mintmark, 3).map(caller => withAssertions(caller, issuer, clientId))
        },
        mintmarkPlain: ({ mintmarkPlain }) => refreshers(mintmarkPlain, 4),
      },
      goals: {},
    },
  ],
  [
    'refresh-postgres',
    {
      title: 'The same on PostgreSQL, which has the other core',
      callers: {
        mintmarkOnPostgres: ({ mintmarkOnPostgres }) =>
          mintmarkOnPostgres?.refreshTokens.map(refreshing) ?? [],
        bare: bareCallers,
        floorOnPostgres: ({ floorOnPostgres }) => refreshingSaid(floorOnPostgres),
      },
      goals: { bare: 0.25 },
    },
  ],
  [
    'client-credentials',
    {
      title: 'POST /token, client_credentials: ES256',
      callers: {
        mintmark: minting,
        bare: bareCallers,
        floor: minting,
        oidcProvider: minting,
      },
      goals: { bare: 0.4 },
    },
  ],
  ...grantScenarios,
  [
    'redeem',
    {
      isLogIn: true,
      title: 'POST /token, authorization_code: durable, audited, with an ID token, both ES256',
      prepare: mintCodes,
      callers: {
        mintmark: () => redeeming(() => codes.pop()),
        bare: bareCallers,
        floor: async servers => {
          // To the floor any text is a code that it has not seen.
          const { length } = (await codeMaker(servers))()
          let count = 0
          return redeeming(() => String(count++).padStart(length, '0'))
        },
      },
      goals: { bare: 0.12 },
    },
  ],
  [
    'userinfo',
    {
      isLogIn: true,
      title: 'GET /userinfo: to a bare GET',
      callers: {
        mintmark: async servers => {
          const withHeaders = await userinfoHeaders(servers)
          return each(() => getting('/userinfo', withHeaders))
        },
        bare: async servers => gettingAsMany(servers, '/userinfo', await userinfoHeaders(servers)),
      },
      goals: { bare: 0.4 },
    },
  ],
  [
    'log-in-page',
    {
      isLogIn: true,
      title: 'GET /log-in: the page on which people log in, to a bare GET of as many bytes',
      callers: {
        mintmark: async ({ mintmark }) => {
          const { path, cookie } = await logInPage(mintmark)
          return each(() => getting(path, { cookie }))
        },
        bare: async servers => {
          const { path, cookie } = await logInPage(servers.mintmark)
          return gettingAsMany(servers, path, { cookie })
        },
        floor: async ({ floor }) => {
          const { path, cookie } = await logInPage(floor)
          return each(() => getting(path, { cookie }))
        },
      },
      goals: { bare: 0.5 },
    },
  ],
  [
    'introspect',
    {
      title: 'POST /introspect of a live access token, seen before',
      callers: {
        mintmark: ({ mintmark }) => introspectingOne(mintmark),
        bare: bareCallers,
        floor: ({ floor }) => introspectingOne(floor),
      },
      goals: { bare: 0.4 },
    },
  ],
  [
    'introspect-first',
    {
      title: 'POST /introspect of a live access token, for the first time',
      prepare: mint,
      callers: {
        mintmark: introspecting,
        bare: bareCallers,
      },
      goals: { bare: 0.25 },
    },
  ],
  [
    'introspect-elsewhere',
    {
      title: 'The same at another server than the one that issued it: one signature to verify',
      prepare: mint,
      callers: {
        mintmarkBeside: introspecting,
        bare: bareCallers,
      },
      goals: {},
    },
  ],
  [
    'revoke',
    {
      title: 'POST /revoke of a refresh token: durable, audited, on the status list',
      callers: {
        mintmark: ({ mintmark }) => {
          let next = refreshGroups * connections
          return each(() => ({
            next: () => {
              const token = mintmark.refreshTokens[next++]
              if (token === undefined) throw new Error('all sessions are revoked: run it for a shorter time')
              return { method: 'POST', path: '/revoke', headers, body: `token=${token}` }
            },
            answered: (status, text) => {
              if (status !== 200) throw new Error(`/revoke answered ${status} ${text}`)
            },
          }))
        },
        bare: bareCallers,
      },
      goals: {},
    },
  ],
  [
    'status-list',
    {
      title: 'GET /status-lists/N',
      callers: {
        mintmark: async servers => {
          const path = await statusListPath(servers)
          return each(() => getting(path))
        },
        bare: bareCallers,
      },
      goals: { bare: 0.7 },
    },
  ],
  [
    'status-list-304',
    {
      title: 'GET /status-lists/N, not modified',
      callers: {
        mintmark: async servers => {
          const path = await statusListPath(servers)
          return each(() => revalidating(path))
        },
        bare: bareCallers,
      },
      goals: { bare: 0.7 },
    },
  ],
  [
    'admin-user',
    {
      title: 'GET /admin/v1/users/{sub}: to a bare GET of as many bytes',
      callers: {
        mintmark: async ({ mintmark }) => {
          const withHeaders = await administratorOf(mintmark)
          const path = await userPath(mintmark, withHeaders)
          return each(() => getting(path, withHeaders))
        },
        bare: async servers => {
          const withHeaders = await administratorOf(servers.mintmark)
          return gettingAsMany(servers, await userPath(servers.mintmark, withHeaders), withHeaders)
        },
      },
      goals: { bare: 0.3 },
    },
  ],
  [
    'jwks',
    {
      title: 'GET /.well-known/jwks.json',
      callers: { mintmark: () => each(() => getting('/.well-known/jwks.json')), bare: bareCallers },
      goals: { bare: 0.7 },
    },
  ],
  [
    'jwks-304',
    {
      title: 'GET /.well-known/jwks.json, not modified',
      callers: {
        mintmark: () => each(() => revalidating('/.well-known/jwks.json')),
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
