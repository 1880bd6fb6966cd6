import { randomBytes } from 'node:crypto'
import { Writable } from 'node:stream'
import { setImmediate } from 'node:timers/promises'
import type { FastifyInstance, InjectOptions } from 'fastify'
import { pino } from 'pino'
import type { Test } from 'tap'
import { insertClient } from '../../db/clients/clients.ts'
import { insertResource, type NewResource } from '../../db/clients/resources.ts'
import type { ClientTable } from '../../db/schema.ts'
import { insertUser } from '../../db/users/users.ts'
import { plainClientRow } from '../../src/clients/registration.ts'
import { loadConfig } from '../../src/config/load.ts'
import { makeRootKeyFile } from '../../src/keys/root/root-key-file.ts'
import { formatUuid, hashSecret, newUuid } from '../../src/protocol/secrets.ts'
import { openServer, type OpenServer } from '../../src/server.ts'
import type { PasswordCost } from '../../src/users/passwords.ts'
import { defaultEnv } from './engines.ts'
import { handClock } from './hand-clock.ts'
import { makeMigrated } from './migrated.ts'
import './rsa-keys.ts'
import { runJob } from './run-job.ts'
import { scratchFolder } from './scratch.ts'
import { makeStarted } from './started.ts'

type Response = Awaited<ReturnType<FastifyInstance['inject']>>

/** What a form is made of: each name once, or what may repeat as pairs. */
export type FormInit = Record<string, string> | [name: string, value: string][]

export interface TestClient {
  readonly id: string
  /** Undefined for a public client. */
  readonly secret: string | undefined
  /** The header of client_secret_basic. */
  readonly headers: { readonly authorization?: string }
  /** The parameters of client_secret_post, or of none. */
  readonly form: { readonly client_id: string; readonly client_secret?: string }
}

export interface TestUser {
  readonly id: Buffer
  readonly sub: string
  readonly username: string
  readonly password: string
}

export interface TestServer extends Omit<OpenServer, 'close'> {
  /** Each line that was logged, parsed. */
  readonly log: readonly Readonly<Record<string, unknown>>[]
  /** Lets time pass. */
  tick(seconds: number): void
  /** Sets the clock, while no time passes. */
  setClock(seconds: number): void
  /** Adds a resource; its scope is `read write` unless told. */
  resource(uri: string, settings?: Partial<NewResource>): Promise<void>
  /** Adds a client with all grants and the scope `read write`, confidential unless `isPublic`. */
  client(id: string, settings?: Partial<ClientTable> & { isPublic?: boolean }): Promise<TestClient>
  user(username?: string, roles?: string): Promise<TestUser>
  /**
   * What running servers do twice a second: looks whether clients, resources, keys or sessions have changed.
   */
  follow(): Promise<void>
  request(request: InjectOptions): Promise<Response>
  /** Posts a form. */
  post(
    path: string,
    form: FormInit,
    headers?: Readonly<Record<string, string | undefined>>,
  ): Promise<Response>
  /** Logs the user in and returns the parsed answer. */
  logIn(
    client: TestClient,
    user: Pick<TestUser, 'username' | 'password'>,
    more?: Record<string, string>,
  ): Promise<TokenResponse>
  /** Refreshes and returns the parsed answer. */
  refresh(client: TestClient, refreshToken: string, more?: Record<string, string>): Promise<TokenResponse>
  introspect(
    caller: TestClient,
    token: string,
    more?: Record<string, string>,
  ): Promise<Record<string, unknown>>
  revoke(caller: TestClient, token: string, more?: Record<string, string>): Promise<Response>
  /** Listens on a free port of the loopback interface, and returns the origin. */
  listen(): Promise<string>
}

export interface TokenResponse {
  readonly access_token: string
  readonly refresh_token: string
  readonly token_type: string
  readonly expires_in: number
  readonly scope?: string
  readonly refresh_token_timeout: number
  readonly authorization_expires_in: number
}

/** The least that argon2id takes. A hash that people rely on takes a hundred times as long. */
export const leastCost: PasswordCost = { memoryCost: 8, timeCost: 1, parallelism: 1 }

/** The time at which a test's server starts. */
export const startedAt = 1_900_000_000

/**
 * Starts a whole server: a database in a file (or the one of `env`, see engines.ts), real keys, and a clock
 * that the test moves. Nothing listens and no timer runs unless the test asks for it. When the test is over,
 * no secret of it may have been logged.
 */
export async function startServer(
  t: Test,
  env: Record<string, string> = {},
  firstNow = startedAt,
  passwordCost = leastCost,
): Promise<TestServer> {
  const clock = handClock(firstNow)
  const home = scratchFolder(t)
  const config = loadConfig(
    {
      MINTMARK_ISSUER: 'https://as.example',
      MINTMARK_METRICS_PORT: '0',
      MINTMARK_LOG_LEVEL: 'trace',
      ...('MINTMARK_DATABASE_URL' in env ? {} : await defaultEnv(t)),
      ...env,
    },
    home,
  )
  const { lines, log, stream } = logInMemory()
  // For an embedded database it is made with it.
  if (config.databaseUrl.engine === 'postgres' && !config.rootKeyIsMounted)
    makeRootKeyFile(config.rootKeyFile)
  if ('MINTMARK_DATABASE_URL' in env) await makeMigrated(config.databaseUrl)
  else await makeStarted(t, config, firstNow)
  const logger = pino({ level: config.logLevel }, stream)
  const server = await openServer(config, {
    clock,
    log: logger,
    jobs: 'by hand',
    passwordCost,
  })
  const { app } = server
  const secrets = new Set<string>()
  t.teardown(async () => {
    await server.close()
    const text = lines.join('\n')
    // Too late for an assertion, but this fails the test too.
    if ([...secrets].some(secret => text.includes(secret))) throw new Error('H-14 a secret was logged')
  })
  const request = async (options: InjectOptions) => {
    const response = await app.inject(options)
    for (const name of ['access_token', 'refresh_token']) {
      if (isDocument(response) && name in response.json()) secrets.add(response.json()[name])
    }
    return response
  }
  return {
    ...server,
    log,
    request,
    tick: clock.tick,
    setClock: clock.setClock,
    follow: async () => {
      await runJob(server, 'following the registry')
      await runJob(server, 'following the key ring')
      await runJob(server, 'following what is revoked')
    },
    listen: () => app.listen({ host: '127.0.0.1', port: 0 }),
    ...records(server, secrets),
    ...verbs(request),
  }
}

/** The environment of another instance on the same database. */
export function besideEnv({ ctx: { config } }: TestServer): Record<string, string> {
  const { databaseUrl: database, rootKeyFile } = config
  return {
    MINTMARK_DATABASE_URL: database.engine === 'sqlite' ? `sqlite:${database.file}` : database.url,
    MINTMARK_ROOT_KEY_FILE: rootKeyFile,
  }
}

/** What an administrator does. */
function records(server: OpenServer, secrets: Set<string>): Pick<TestServer, 'resource' | 'client' | 'user'> {
  const { ctx } = server
  return {
    resource: async (uri, settings = {}) => {
      await insertResource(ctx.db, {
        uri,
        scope: 'read write',
        scope_words: '{}',
        alg: 'ES256',
        previous_alg: 'ES256',
        access_token_seconds: null,
        has_status: 1,
        created_at: ctx.clock.now(),
        ...settings,
      })
      await runJob(server, 'following the registry')
    },
    client: async (id, { isPublic = false, ...settings } = {}) => {
      const secret = isPublic ? undefined : randomBytes(32).toString('base64url')
      if (secret !== undefined) secrets.add(secret)
      await insertClient(
        ctx.db,
        plainClientRow({
          id,
          secret_hash: secret === undefined ? null : hashSecret(secret),
          grant_types: isPublic ? 'password refresh_token' : 'password refresh_token client_credentials',
          scope: 'read write',
          epoch: 0,
          created_at: ctx.clock.now(),
          ...settings,
        }),
      )
      await runJob(server, 'following the registry')
      return testClient(id, secret)
    },
    user: async (username = 'ada', roles = '') => {
      const id = newUuid(ctx.clock.now())
      const password = randomBytes(12).toString('base64url')
      secrets.add(password)
      const hash = await ctx.users.passwords.hash(password)
      await insertUser(ctx.db, {
        id,
        username,
        ...hash,
        roles,
        epoch: 0,
        created_at: ctx.clock.now(),
        disabled_at: null,
      })
      return { id, sub: formatUuid(id), username, password }
    },
  }
}

/** Whether it is one JSON object, and not one in each line. */
function isDocument({ body, headers }: Awaited<ReturnType<FastifyInstance['inject']>>): boolean {
  return body.startsWith('{') && headers['content-type'] !== 'application/jsonl'
}

/** A client as its own software knows it. */
export function testClient(id: string, secret: string | undefined): TestClient {
  if (secret === undefined) return { id, secret, headers: {}, form: { client_id: id } }
  const credentials = `${encodeURIComponent(id)}:${encodeURIComponent(secret)}`
  return {
    id,
    secret,
    headers: { authorization: `Basic ${Buffer.from(credentials).toString('base64')}` },
    form: { client_id: id, client_secret: secret },
  }
}

/** What clients and resource servers do. */
function verbs(
  request: TestServer['request'],
): Pick<TestServer, 'post' | 'logIn' | 'refresh' | 'introspect' | 'revoke'> {
  const post: TestServer['post'] = (path, form, headers = {}) =>
    request({
      method: 'POST',
      url: path,
      payload: new URLSearchParams(form).toString(),
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        ...Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== undefined)),
      },
    })
  const posted = async (path: string, form: Record<string, string>) => {
    const response = await post(path, form)
    if (response.statusCode !== 200)
      throw new Error(`${path} answered ${response.statusCode} ${response.body}`)
    return response.json()
  }
  return {
    post,
    logIn: (client, { username, password }, more = {}) =>
      posted('/token', { grant_type: 'password', username, password, ...client.form, ...more }),
    refresh: (client, refresh_token, more = {}) =>
      posted('/token', { grant_type: 'refresh_token', refresh_token, ...client.form, ...more }),
    introspect: (caller, token, more = {}) => posted('/introspect', { token, ...caller.form, ...more }),
    revoke: (caller, token, more = {}) => post('/revoke', { token, ...caller.form, ...more }),
  }
}

function logInMemory() {
  const lines: string[] = []
  const log: Record<string, unknown>[] = []
  const stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      lines.push(chunk.toString())
      log.push(JSON.parse(chunk.toString()))
      done()
    },
  })
  return { lines, log, stream }
}

/**
 * Asserts everything that is true of every error (H-4, H-5, H-7, T-5, T-6): its status and code, RFC 6749
 * JSON with nothing else in it, never cached, a challenge with 401, a time to come back with 429 and 503.
 */
export function isOAuthError(t: Test, response: Response, status: number, code: string, title: string): void {
  const { headers } = response
  t.equal(response.statusCode, status, `${title}: ${status}`)
  const { error, error_description, ...rest } = response.json()
  t.equal(error, code, `${title}: ${code}`)
  t.match(error_description, /^[\x20\x21\x23-\x5b\x5d-\x7e]{10,}$/, `${title}: says why (T-6)`)
  t.strictSame(rest, {}, `${title}: and nothing else`)
  t.match(
    headers,
    { 'content-type': /^application\/json/, 'cache-control': 'no-store', pragma: 'no-cache' },
    title,
  )
  t.equal(
    'www-authenticate' in headers,
    status === 401 || code === 'insufficient_scope',
    `${title}: a challenge comes with 401 (H-7) or a token that is not enough (B-3), and only with them`,
  )
  t.equal('retry-after' in headers, status === 429 || status === 503, `${title}: when to come back`)
}

/**
 * Waits until something is so, that will be in a moment; forever if it never is, which the test's own limit
 * ends.
 */
export async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await setImmediate()
}
