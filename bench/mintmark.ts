import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findClient } from '../db/clients/clients.ts'
import { insertSession } from '../db/sessions/starts.ts'
import { insertUser } from '../db/users/users.ts'
import { systemClock } from '../src/clock.ts'
import { loadConfig } from '../src/config/load.ts'
import { openInstallation } from '../src/installation/open.ts'
import { makeRootKeyFile } from '../src/keys/root/root-key-file.ts'
import { sealRefreshToken } from '../src/protocol/refresh-token.ts'
import { hashSecret, newSessionSecret, newUuid } from '../src/protocol/secrets.ts'
import { openPasswords } from '../src/users/passwords.ts'
import { freePort } from '../test/helpers/free-port.ts'
import { addClients, basicOf, clientId, scope } from './clients.ts'
import { startChild, type Child } from './processes.ts'
import { multiplySession } from './sessions.ts'

export { clientId, clientSecret, redirectUri, resource, webClientId } from './clients.ts'
export const basic = basicOf(clientId)
export const username = 'bench'
export const password = 'correct horse battery staple'

export interface Mintmark extends Child {
  /** Of the sessions that are there; a caller that refreshes one may put the newest in its place. */
  readonly refreshTokens: string[]
  readonly databaseFile: string
  /** The settings that it was started with. */
  readonly settings: Readonly<Record<string, string>>
  readonly metricsUrl: string
  /** The id of a client that is known by a document; undefined where it takes none. */
  readonly documentClientId?: string | undefined
}

export interface MintmarkOptions {
  readonly sessions: number
  /** On which it is alone; undefined for all. */
  readonly cpu: number | undefined
  /** Settings beyond the default ones. */
  readonly env?: Record<string, string>
  readonly nodeArgs?: readonly string[]
}

const program = 'dist/main.js'

/** The program as a user runs it. */
function serve(
  env: Record<string, string>,
  cpu: number | undefined,
  nodeArgs: readonly string[] = [],
): Promise<Child> {
  return startChild([program, 'serve'], { cpu, env, nodeArgs })
}

const now = () => Math.floor(Date.now() / 1000)

/** A server of its own process, as a user would run it, with `sessions` sessions in its database. */
export async function startMintmark({
  sessions,
  cpu,
  env = {},
  nodeArgs = [],
}: MintmarkOptions): Promise<Mintmark> {
  const home = mkdtempSync(join(tmpdir(), 'mintmark-bench-'))
  const metricsPort = await freePort()
  const settings = {
    MINTMARK_HOME: home,
    MINTMARK_PORT: '0',
    MINTMARK_METRICS_PORT: String(metricsPort),
    // No load balancer has to learn that it ends.
    MINTMARK_DRAIN: '0',
    ...env,
  }
  // Only for a new embedded database does the server make one by itself.
  mkdirSync(join(home, 'keys'))
  makeRootKeyFile(join(home, 'keys/root.key'))
  const refreshTokens = await seed(settings, sessions)
  const child = await serve(settings, cpu, nodeArgs)
  return {
    ...child,
    refreshTokens,
    settings,
    metricsUrl: `http://127.0.0.1:${metricsPort}/metrics`,
    databaseFile: join(home, 'db/mintmark.sqlite'),
    stop: async () => {
      await child.stop()
      rmSync(home, { recursive: true })
    },
  }
}

/** A second server on the same database. */
export function startBeside({ settings }: Mintmark, cpu: number): Promise<Child> {
  return serve({ ...settings, MINTMARK_METRICS_PORT: '0' }, cpu)
}

/**
 * A session goes in as a log-in puts it in, but without the password hash that a log-in costs; the others are
 * like it.
 */
async function seed(settings: Record<string, string>, sessions: number): Promise<string[]> {
  const config = loadConfig(settings, '.')
  const { db, rootKeys } = await openInstallation(config, { ...systemClock(), now }, { mayCreate: true })
  const { currentId: rootKeyId, macKeyOf } = rootKeys
  const { passwords } = openPasswords({ rootKeys })
  await addClients(db, now())
  const user = { id: newUuid(now()), username, ...(await passwords.hash(password)), roles: '', epoch: 0 }
  await insertUser(db, { ...user, created_at: now(), disabled_at: null })
  const client = await findClient(db, clientId)
  if (!client) throw new Error('unreachable: the client was made just now')

  const secret = newSessionSecret()
  const sessionId = newUuid(now())
  await insertSession(db, {
    id: sessionId,
    user_id: user.id,
    client_id: clientId,
    user_epoch: 0,
    client_epoch: client.epoch,
    secret_hash: hashSecret(secret),
    scope,
    resource: null,
    auth_time: now(),
    amr: 'pwd',
    expires_at: now() + config.refreshIdleSeconds,
    absolute_expires_at: now() + config.refreshAbsoluteSeconds,
    status_position: 0,
    last_address: null,
  })
  const refreshToken = sealRefreshToken(macKeyOf, {
    rootKeyId,
    sessionId,
    generation: 0,
    secret,
    boundTo: null,
  })
  const tokens = [
    refreshToken,
    ...(await multiplySession(db, { macKeyOf, refreshToken, count: sessions - 1 })),
  ]
  await db.close()
  return tokens
}
