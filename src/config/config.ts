import { resolve } from 'node:path'
import type { KeyPolicy } from '../../db/installation/installation.ts'
import { policyProblems } from '../keys/ring/key-policy.ts'
import { longestTokenSeconds } from '../protocol/access-token.ts'
import { isIssuer, issuerForm, normalIssuer } from '../protocol/issuer.ts'
import { isOrigin } from '../protocol/origin.ts'
import { formatDuration } from '../values/duration.ts'
import { isNetwork } from '../values/networks.ts'
import { nearestName } from '../values/suggestion.ts'
import { readDatabaseUrl, type DatabaseUrl } from './database-url.ts'
import { prefix, readers } from './setting-readers.ts'

/** Every setting, checked. Durations are whole seconds; paths are absolute. */
export interface Config {
  /** Where `db/` and `keys/` lie. */
  readonly home: string
  /** The issuer identifier (RFC 8414 §2), exactly as it appears in tokens. */
  readonly issuer: string
  readonly host: string
  readonly port: number
  readonly databaseUrl: DatabaseUrl
  /** How many connections to PostgreSQL one server holds at the most. */
  readonly databasePoolSize: number
  /** Whether a pooler like PgBouncer in transaction mode stands before PostgreSQL. */
  readonly databasePooler: 'none' | 'transaction'
  readonly rootKeyFile: string
  /** Whether ROOT_KEY_FILE was given: then the file is mounted from elsewhere, and its mode is not ours to judge. */
  readonly rootKeyIsMounted: boolean
  readonly metricsHost: string
  /** 0 is off. */
  readonly metricsPort: number
  readonly accessTokenSeconds: number
  readonly refreshIdleSeconds: number
  readonly refreshAbsoluteSeconds: number
  readonly refreshRetrySeconds: number
  /** How many late generations of the last 8 are theft. */
  readonly refreshLateLimit: number
  /** How many sessions a user may have through one client; a log-in beyond ends the one that was unused for longest. */
  readonly sessionsPerUser: number
  /** The first policy of a new database's key ring. Later the database's own counts. */
  readonly keyRotationSeconds: number
  readonly jwksMaxAgeSeconds: number
  readonly clockSkewSeconds: number
  /** What of that policy was set, and is not a default. */
  readonly keyPolicySet: Partial<KeyPolicy>
  /** How late a resource server that follows the status lists may learn of a revocation. */
  readonly statusListDelaySeconds: number
  /** How long entries of the audit trail are kept. */
  readonly auditSeconds: number
  /** Addresses or networks of proxies whose `X-Forwarded-For` is believed. */
  readonly trustProxy: readonly string[]
  /** Whether a trusted proxy passes client certificates on (RFC 9440): none, those that it has verified, or any. */
  readonly clientCert: 'off' | 'verified' | 'any'
  /** Where the proxy asks for them, as a URL like the issuer's. */
  readonly mtlsUrl: string
  /** Private networks in which clients may publish their keys. */
  readonly jwksUriNetworks: readonly string[]
  /** Exact origins. */
  readonly corsOrigins: readonly string[]
  readonly logLevel: string
  /** For how long a server that was told to end still serves, while proxies learn that it ends. */
  readonly drainSeconds: number
  /** For how long a connection is kept on which nothing is asked. */
  readonly keepAliveSeconds: number
}

/** What the operator set is wrong: the message lists every problem, and what would be right. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']
const day = 86_400

/** The least and the most, in seconds, of what is the policy of the key rings in the end. */
export const keyLimits = {
  rotation: [60, 3650 * day],
  maxAge: [1, 7 * day],
  skew: [0, 600],
} as const

/** Reads all settings at once, so that one start shows every problem. An unknown name is a problem too. */
export function loadConfig(env: NodeJS.ProcessEnv, workingDirectory: string): Config {
  const problems: string[] = []
  const { read, path, checked, choice, integer, duration, list, known } = readers(env, problems)

  const home = resolve(workingDirectory, path('HOME') ?? '.')
  const port = integer('PORT', 9000, 0, 65_535)
  const rootKeyFile = path('ROOT_KEY_FILE')
  const accessTokenSeconds = duration('ACCESS_TOKEN_TTL', 300, 10, longestTokenSeconds)
  const issuer = checked('ISSUER', `http://127.0.0.1:${port}`, issuerForm, isIssuer, normalIssuer)
  const keyRotationSeconds = duration('KEY_ROTATION_INTERVAL', 30 * day, ...keyLimits.rotation)
  const jwksMaxAgeSeconds = duration('JWKS_MAX_AGE', 300, ...keyLimits.maxAge)
  const clockSkewSeconds = duration('CLOCK_SKEW', 60, ...keyLimits.skew)
  const config: Config = {
    home,
    issuer,
    host: checked('HOST', '127.0.0.1', 'a host name or an address to listen on', isHost),
    port,
    databaseUrl: readDatabaseUrl({ read, path }, prefix, home, problems),
    databasePoolSize: integer('DATABASE_POOL_SIZE', 8, 2, 100),
    databasePooler: choice('DATABASE_POOLER', 'none', ['none', 'transaction']),
    rootKeyFile: resolve(home, rootKeyFile ?? 'keys/root.key'),
    rootKeyIsMounted: rootKeyFile !== undefined,
    metricsHost: checked('METRICS_HOST', '127.0.0.1', 'a host name or an address to listen on', isHost),
    metricsPort: integer('METRICS_PORT', 9001, 0, 65_535),
    accessTokenSeconds,
    refreshIdleSeconds: duration('REFRESH_IDLE_TTL', 30 * day, 60, 3650 * day),
    refreshAbsoluteSeconds: duration('REFRESH_ABSOLUTE_TTL', 180 * day, 60, 3650 * day),
    refreshRetrySeconds: duration('REFRESH_RETRY_WINDOW', 10, 0, 300),
    refreshLateLimit: integer('REFRESH_LATE_LIMIT', 6, 1, 8),
    sessionsPerUser: integer('SESSIONS_PER_USER', 100, 1, 10_000),
    keyRotationSeconds,
    jwksMaxAgeSeconds,
    clockSkewSeconds,
    keyPolicySet: {
      ...(read('KEY_ROTATION_INTERVAL') !== undefined && { key_rotation_seconds: keyRotationSeconds }),
      ...(read('JWKS_MAX_AGE') !== undefined && { jwks_max_age_seconds: jwksMaxAgeSeconds }),
      ...(read('CLOCK_SKEW') !== undefined && { clock_skew_seconds: clockSkewSeconds }),
    },
    statusListDelaySeconds: duration(
      'STATUS_LIST_DELAY',
      Math.min(60, Math.floor(accessTokenSeconds / 2)),
      2,
      3600,
    ),
    auditSeconds: duration('AUDIT_RETENTION', 90 * day, day, 3650 * day),
    trustProxy: list('TRUST_PROXY', networkForm, isNetwork),
    clientCert: choice('CLIENT_CERT', 'off', ['off', 'verified', 'any']),
    mtlsUrl: checked('MTLS_URL', issuer, issuerForm, isIssuer, normalIssuer),
    jwksUriNetworks: list('JWKS_URI_NETWORKS', networkForm, isNetwork),
    corsOrigins: list('CORS_ORIGINS', 'origins like https://app.example, separated by commas', isOrigin),
    logLevel: checked('LOG_LEVEL', 'info', `one of ${logLevels.join(', ')}`, text =>
      logLevels.includes(text),
    ),
    drainSeconds: duration('DRAIN', 5, 0, 600),
    // Longer than the minute that most proxies keep a connection, so that it is they who close it.
    keepAliveSeconds: duration('KEEP_ALIVE', 72, 1, day),
  }

  problems.push(...contradictions(config), ...unknownNames(env, known))
  if (problems.length === 0) return config
  throw new ConfigError(`The configuration is not valid:\n- ${problems.join('\n- ')}`)
}

/** What no setting alone shows to be wrong. */
function contradictions(config: Config): string[] {
  const problems: string[] = []
  if (config.refreshIdleSeconds > config.refreshAbsoluteSeconds) {
    problems.push(
      `${prefix}REFRESH_IDLE_TTL (${formatDuration(config.refreshIdleSeconds)}) is longer than ` +
        `${prefix}REFRESH_ABSOLUTE_TTL (${formatDuration(config.refreshAbsoluteSeconds)}), but no session outlives the latter`,
    )
  }
  if (config.statusListDelaySeconds >= config.accessTokenSeconds) {
    problems.push(
      `${prefix}STATUS_LIST_DELAY (${formatDuration(config.statusListDelaySeconds)}) is not shorter than ` +
        `${prefix}ACCESS_TOKEN_TTL (${formatDuration(config.accessTokenSeconds)}), so no list could tell of a revocation in time`,
    )
  }
  if (config.port !== 0 && config.port === config.metricsPort && config.host === config.metricsHost) {
    problems.push(
      `${prefix}METRICS_PORT is ${config.metricsPort}, the same as ${prefix}PORT: choose another, or 0 for no metrics`,
    )
  }
  for (const problem of policyProblems(
    { key_rotation_seconds: config.keyRotationSeconds },
    config.jwksMaxAgeSeconds,
  )) {
    problems.push(`${prefix}KEY_ROTATION_INTERVAL and ${prefix}JWKS_MAX_AGE do not fit: ${problem}`)
  }
  if (config.clientCert !== 'off' && config.trustProxy.length === 0) {
    problems.push(
      `${prefix}CLIENT_CERT is ${config.clientCert}, but certificates are only believed from a proxy: set ${prefix}TRUST_PROXY`,
    )
  }
  if (config.clientCert === 'off' && config.mtlsUrl !== config.issuer) {
    problems.push(`${prefix}MTLS_URL counts only with ${prefix}CLIENT_CERT: set that to verified or any`)
  }
  return problems
}

/** Kubernetes gives each pod variables that are named after the services around it. */
const serviceLink = /^MINTMARK_(SERVICE_(HOST|PORT)|PORT_\d+_(TCP|UDP|SCTP))/

/** A misspelt setting would silently not count. */
function unknownNames(env: NodeJS.ProcessEnv, known: ReadonlySet<string>): string[] {
  const names = Object.keys(env).filter(name => name.startsWith(prefix) && !known.has(name))
  const problems = names
    .filter(name => !serviceLink.test(name))
    .map(name => {
      const nearest = nearestName(
        name.slice(prefix.length),
        [...known].map(other => other.slice(prefix.length)),
      )
      return `${name} is not a setting of Mintmark${nearest ? `; did you mean ${prefix}${nearest}?` : ''}`
    })
  if (names.some(name => serviceLink.test(name))) {
    problems.push(
      `Kubernetes has set ${prefix}PORT and others for a service named mintmark: add enableServiceLinks: false to the pod`,
    )
  }
  return problems
}

const networkForm = 'addresses or networks like 10.0.0.0/8, separated by commas'

function isHost(text: string): boolean {
  return /^[A-Za-z0-9.:_-]+$/.test(text)
}
