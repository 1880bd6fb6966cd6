import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { resolve } from 'node:path'
import { formatDuration, parseDuration } from './protocol/duration.ts'

/** Every setting, checked. Durations are whole seconds; paths are absolute. */
export interface Config {
  /** Where `db/` and `keys/` lie. */
  readonly home: string
  /** The issuer identifier (RFC 8414 §2), exactly as it appears in tokens. */
  readonly issuer: string
  readonly host: string
  readonly port: number
  readonly databaseUrl: DatabaseUrl
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
  /** The first policy of a new database's key ring. Later the database's own counts. */
  readonly keyRotationSeconds: number
  readonly jwksMaxAgeSeconds: number
  readonly clockSkewSeconds: number
  /** Addresses or networks of proxies whose `X-Forwarded-For` is believed. */
  readonly trustProxy: readonly string[]
  /** Exact origins. */
  readonly corsOrigins: readonly string[]
  readonly logLevel: string
}

export type DatabaseUrl =
  | { readonly engine: 'sqlite'; readonly file: string }
  | { readonly engine: 'postgres'; readonly url: string }

/** What the operator set is wrong: the message lists every problem, and what would be right. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

const prefix = 'MINTMARK_'
const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']
const day = 86_400

/** Reads all settings at once, so that one start shows every problem. An unknown name is a problem too. */
export function loadConfig(env: NodeJS.ProcessEnv, workingDirectory: string): Config {
  const problems: string[] = []
  const known = new Set<string>()

  const read = (name: string): string | undefined => {
    known.add(prefix + name)
    const value = env[prefix + name]
    return value === undefined || value === '' ? undefined : value
  }
  const refuse = (name: string, value: string, takes: string) => {
    problems.push(`${prefix}${name} is ${JSON.stringify(value)}, but takes ${takes}`)
  }
  const checked = <T>(name: string, fallback: T, takes: string, parse: (text: string) => T | undefined): T => {
    const value = read(name)
    if (value === undefined) return fallback
    const parsed = parse(value)
    if (parsed === undefined) refuse(name, value, takes)
    return parsed ?? fallback
  }
  const integer = (name: string, fallback: number, min: number, max: number) =>
    checked(name, fallback, `a whole number from ${min} to ${max}`, text => within(wholeNumber(text), min, max))
  const duration = (name: string, fallback: number, min: number, max: number) =>
    checked(
      name,
      fallback,
      `a duration from ${formatDuration(min)} to ${formatDuration(max)}, in seconds or with a unit (300, 90s, 5m, 12h, 30d)`,
      text => within(parseDuration(text), min, max),
    )
  const list = (name: string, takes: string, isValid: (item: string) => boolean) =>
    checked<readonly string[]>(name, [], takes, text => {
      const items = text.split(/[\s,]+/).filter(item => item !== '')
      return items.every(isValid) ? items : undefined
    })

  const home = resolve(workingDirectory, read('HOME') ?? '.')
  const port = integer('PORT', 9000, 0, 65_535)
  const metricsPort = integer('METRICS_PORT', 9001, 0, 65_535)
  const rootKeyFile = read('ROOT_KEY_FILE')

  const databaseUrlText = read('DATABASE_URL')
  const databaseUrlFile = read('DATABASE_URL_FILE')
  if (databaseUrlText !== undefined && databaseUrlFile !== undefined) {
    problems.push(`${prefix}DATABASE_URL and ${prefix}DATABASE_URL_FILE are both set, but only one may be`)
  }
  let databaseUrl: DatabaseUrl = { engine: 'sqlite', file: resolve(home, 'db/mintmark.sqlite') }
  if (databaseUrlText !== undefined) {
    const parsed = parseDatabaseUrl(databaseUrlText, home)
    // The value may hold a password, so it is not shown.
    if (!parsed) problems.push(`${prefix}DATABASE_URL takes ${databaseUrlForms}`)
    else databaseUrl = parsed
  } else if (databaseUrlFile !== undefined) {
    const file = resolve(home, databaseUrlFile)
    const text = readText(file)
    const parsed = text === undefined ? undefined : parseDatabaseUrl(text.trim(), home)
    if (text === undefined) problems.push(`${prefix}DATABASE_URL_FILE is ${JSON.stringify(file)}, which cannot be read`)
    else if (!parsed) problems.push(`the file in ${prefix}DATABASE_URL_FILE must hold one line: ${databaseUrlForms}`)
    else databaseUrl = parsed
  }

  const config: Config = {
    home,
    issuer: checked(
      'ISSUER',
      `http://127.0.0.1:${port}`,
      'an https URL without query, fragment or trailing slash (http only for a loopback host)',
      text => (isIssuer(text) ? text : undefined),
    ),
    host: checked('HOST', '127.0.0.1', 'a host name or an address to listen on', text =>
      /^[A-Za-z0-9.:_-]+$/.test(text) ? text : undefined,
    ),
    port,
    databaseUrl,
    rootKeyFile: resolve(home, rootKeyFile ?? 'keys/root.key'),
    rootKeyIsMounted: rootKeyFile !== undefined,
    metricsHost: checked('METRICS_HOST', '127.0.0.1', 'a host name or an address to listen on', text =>
      /^[A-Za-z0-9.:_-]+$/.test(text) ? text : undefined,
    ),
    metricsPort,
    accessTokenSeconds: duration('ACCESS_TOKEN_TTL', 300, 10, day),
    refreshIdleSeconds: duration('REFRESH_IDLE_TTL', 30 * day, 60, 3650 * day),
    refreshAbsoluteSeconds: duration('REFRESH_ABSOLUTE_TTL', 180 * day, 60, 3650 * day),
    refreshRetrySeconds: duration('REFRESH_RETRY_WINDOW', 10, 0, 300),
    refreshLateLimit: integer('REFRESH_LATE_LIMIT', 6, 1, 8),
    keyRotationSeconds: duration('KEY_ROTATION_INTERVAL', 30 * day, 60, 3650 * day),
    jwksMaxAgeSeconds: duration('JWKS_MAX_AGE', 300, 1, 7 * day),
    clockSkewSeconds: duration('CLOCK_SKEW', 60, 0, 600),
    trustProxy: list('TRUST_PROXY', 'addresses or networks like 10.0.0.0/8, separated by commas', isNetwork),
    corsOrigins: list('CORS_ORIGINS', 'origins like https://app.example, separated by commas', isOrigin),
    logLevel: checked('LOG_LEVEL', 'info', `one of ${logLevels.join(', ')}`, text =>
      logLevels.includes(text) ? text : undefined,
    ),
  }

  if (config.refreshIdleSeconds > config.refreshAbsoluteSeconds) {
    problems.push(`${prefix}REFRESH_IDLE_TTL is longer than ${prefix}REFRESH_ABSOLUTE_TTL, but no session outlives the latter`)
  }
  if (port !== 0 && port === metricsPort && config.host === config.metricsHost) {
    problems.push(`${prefix}METRICS_PORT is ${metricsPort}, the same as ${prefix}PORT: choose another, or 0 for no metrics`)
  }
  for (const name of Object.keys(env)) {
    if (!name.startsWith(prefix) || known.has(name)) continue
    const nearest = nearestName(name, known)
    problems.push(`${name} is not a setting of Mintmark${nearest ? `; did you mean ${nearest}?` : ''}`)
  }
  if (problems.length > 0) throw new ConfigError(`The configuration is not valid:\n- ${problems.join('\n- ')}`)
  return config
}

const databaseUrlForms = 'sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/NAME'

function parseDatabaseUrl(text: string, home: string): DatabaseUrl | undefined {
  if (text.startsWith('sqlite:')) {
    const path = text.slice('sqlite:'.length)
    return path === '' ? undefined : { engine: 'sqlite', file: resolve(home, path) }
  }
  if (!/^postgres(ql)?:\/\/./.test(text)) return undefined
  return { engine: 'postgres', url: text }
}

/** Whether a host is this machine itself, where plain http cannot be overheard. */
export function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || hostname === '::1' || /^127(\.\d{1,3}){3}$/.test(hostname)
}

/** RFC 8414 §2: https, no query, no fragment. No trailing slash, so that there is one spelling. */
function isIssuer(text: string): boolean {
  const url = URL.parse(text)
  if (!url || /[?#\s"\\]/.test(text) || text.endsWith('/') || url.username !== '' || url.password !== '') return false
  // The text must be the URL's own normal form: verifiers compare it character by character.
  if (url.href !== text && url.href !== `${text}/`) return false
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname))
}

function isOrigin(text: string): boolean {
  const url = URL.parse(text)
  return url !== null && url.origin === text && /^https?:$/.test(url.protocol)
}

function isNetwork(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/')
  const version = isIP(address)
  if (version === 0 || rest.length > 0) return false
  return bits === undefined || within(wholeNumber(bits), 0, version === 4 ? 32 : 128) !== undefined
}

function wholeNumber(text: string): number | undefined {
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

function within(value: number | undefined, min: number, max: number): number | undefined {
  return value !== undefined && value >= min && value <= max ? value : undefined
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined // the caller names the file in its problem
  }
}

/** The known name that differs least, if it differs little. */
function nearestName(name: string, known: ReadonlySet<string>): string | undefined {
  let nearest: string | undefined
  let least = 5
  for (const candidate of known) {
    const distance = editDistance(name, candidate)
    if (distance < least) [nearest, least] = [candidate, distance]
  }
  return nearest
}

/** Levenshtein's distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const substitution = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, substitution))
    }
    row = next
  }
  return row[b.length] ?? 0
}
