import { userInfo } from 'node:os'

/** Where PostgreSQL is and how to log in there, from a `postgres://` URL. */
export interface PostgresUrl {
  /** In order of preference. A host that begins with `/` is the directory of a socket. */
  readonly hosts: readonly PostgresHost[]
  readonly user: string
  readonly password: string | undefined
  readonly database: string
  readonly tls: TlsMode
  /** Paths of PEM files: the authorities to believe, and the certificate and key to show. */
  readonly sslrootcert: string | undefined
  readonly sslcert: string | undefined
  readonly sslkey: string | undefined
  readonly applicationName: string
  readonly connectSeconds: number
  /** Settings for the session, as in `-c search_path=mintmark`. */
  readonly options: string | undefined
}

export interface PostgresHost {
  readonly host: string
  readonly port: number
}

/** Without TLS; encrypted; the server's certificate is from a known authority; and it names the host. */
export type TlsMode = 'disable' | 'require' | 'verify-ca' | 'verify-full'

/** A fault of a URL. It never quotes the password, nor anything that might be a part of it. */
export interface UrlProblem {
  readonly problem: string
}

const tlsModes: ReadonlyMap<string, TlsMode> = new Map([
  ['disable', 'disable'],
  ['require', 'require'],
  ['verify-ca', 'verify-ca'],
  ['verify-full', 'verify-full'],
])

const parameterNames = [
  'host',
  'port',
  'sslmode',
  'sslrootcert',
  'sslcert',
  'sslkey',
  'target_session_attrs',
  'application_name',
  'connect_timeout',
  'options',
]

const form =
  'postgres://USER:PASSWORD@HOST:PORT/DATABASE, or HOST:PORT,HOST:PORT for a primary and its standbys'

/**
 * Reads a URL like those of libpq, with several hosts if need be. TLS with a verified certificate is the
 * default for a host that is neither this machine nor a socket; `sslmode=disable` says that the network
 * between is trusted.
 */
export function parsePostgresUrl(text: string): PostgresUrl | UrlProblem {
  const [, authority, path, query] =
    /^postgres(?:ql)?:\/\/([^/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/.exec(text) ?? []
  if (authority === undefined) return { problem: `takes ${form}` }
  const at = authority.lastIndexOf('@')
  const [user, password] = splitOnce(authority.slice(0, Math.max(at, 0)), ':')
  const parameters = new Map(new URLSearchParams(query ?? ''))
  const unknown = [...parameters.keys()].find(name => !parameterNames.includes(name))
  if (unknown !== undefined) {
    return { problem: `has the parameter ${JSON.stringify(unknown)}, but takes ${parameterNames.join(', ')}` }
  }
  const hosts = hostsOf(authority.slice(at + 1), parameters)
  if (!hosts) {
    return {
      problem:
        'names no host and port that could be read (in a password, the characters @ : / ? # % are written ' +
        `%40 %3A %2F %3F %23 %25): it takes ${form}`,
    }
  }
  const decoded = { user: decode(user), password: decode(password), database: decode(path ?? '') }
  if (!isDecoded(decoded)) return { problem: 'has a % that is not followed by two hexadecimal digits' }
  if (decoded.database === '') return { problem: `names no database: it takes ${form}` }
  const sessions = parameters.get('target_session_attrs')
  if (sessions !== undefined && !['read-write', 'primary'].includes(sessions)) {
    return {
      problem: 'has target_session_attrs, which takes read-write: sessions are never read from a standby',
    }
  }
  const tls = tlsModeOf(parameters.get('sslmode'), hosts)
  if (!tls) return { problem: `has an sslmode that is none of ${[...tlsModes.keys()].join(', ')}` }
  const connectSeconds = Number(parameters.get('connect_timeout') ?? 5)
  if (!Number.isInteger(connectSeconds) || connectSeconds < 1 || connectSeconds > 60) {
    return { problem: 'has connect_timeout, which takes 1 to 60 seconds' }
  }
  return {
    hosts,
    user: decoded.user === '' ? userInfo().username : decoded.user,
    password: decoded.password === '' ? undefined : decoded.password,
    database: decoded.database,
    tls,
    sslrootcert: parameters.get('sslrootcert'),
    sslcert: parameters.get('sslcert'),
    sslkey: parameters.get('sslkey'),
    applicationName: parameters.get('application_name') ?? 'mintmark',
    connectSeconds,
    options: parameters.get('options'),
  }
}

/** The URL without its user, password and parameters, for people to read. */
export function describePostgresUrl({ hosts, database }: PostgresUrl): string {
  return `postgres://${hosts.map(describeHost).join(',')}/${database}`
}

export function describeHost({ host, port }: PostgresHost): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

function hostsOf(list: string, parameters: ReadonlyMap<string, string>): PostgresHost[] | undefined {
  const port = parameters.get('port') ?? '5432'
  const directory = parameters.get('host')
  const items = list === '' && directory !== undefined ? directory.split(',') : list.split(',')
  const hosts = items.map(item => {
    const [, host, own = port] = /^(\[[0-9a-fA-F:.]+\]|[\w.-]+|\/[^:]*|)(?::(\d+))?$/.exec(item) ?? []
    const number = Number(own)
    if (host === undefined || !/^\d+$/.test(own) || number < 1 || number > 65_535) return undefined
    return { host: host === '' ? 'localhost' : host.replace(/^\[|\]$/g, ''), port: number }
  })
  const found = hosts.filter(host => host !== undefined)
  return found.length === hosts.length ? found : undefined
}

function tlsModeOf(sslmode: string | undefined, hosts: readonly PostgresHost[]): TlsMode | undefined {
  if (sslmode !== undefined) return tlsModes.get(sslmode)
  return hosts.every(({ host }) => isThisMachine(host)) ? 'disable' : 'verify-full'
}

function isThisMachine(host: string): boolean {
  return host.startsWith('/') || host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator)
  return at === -1 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)]
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined // the caller says so
  }
}

function isDecoded<Names extends string>(
  values: Record<Names, string | undefined>,
): values is Record<Names, string> {
  return Object.values(values).every(value => value !== undefined)
}
