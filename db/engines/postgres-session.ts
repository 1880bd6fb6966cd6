import { readFileSync } from 'node:fs'
import pg from 'pg'
import { PostgresUnavailable } from './postgres-errors.ts'
import { describeHost, type PostgresHost, type PostgresUrl } from './postgres-url.ts'

export interface PostgresOptions {
  /** How many connections this process holds at the most, beside the one that listens. */
  readonly poolSize: number
  /** Whether a pooler in transaction mode stands between: then nothing may be left behind in a session. */
  readonly isPooled: boolean
  /** Whether statements may take as long as they like: for the command line, not for requests. */
  readonly isPatient: boolean
}

/** Identifies a primary: a promoted standby begins a new timeline. */
export interface Timeline {
  readonly systemId: string
  readonly number: number
}

const oldestVersion = 14

/** Beyond these, the server says that it is at fault, and the client comes back. */
const statementMs = 5000
const lockMs = 2000

/** Refuses a server that is too old or takes no writes, and makes its commits durable. */
export async function judgeServer(
  client: pg.ClientBase,
  host: PostgresHost,
  { isPooled }: PostgresOptions,
): Promise<Timeline | undefined> {
  const { rows } = await client.query(
    `select current_setting('server_version_num')::int as version_number,
      pg_is_in_recovery() as is_standby, current_setting('transaction_read_only') = 'on' as is_read_only,
      current_setting('synchronous_commit') in ('off', 'local', 'remote_write') as is_lazy`,
  )
  const { version_number, is_standby, is_read_only, is_lazy } = rows[0] ?? {}
  const version = Math.floor(version_number / 10_000)
  const refuse = (why: string) => new PostgresUnavailable(`PostgreSQL at ${describeHost(host)} ${why}`)
  if (version < oldestVersion) {
    throw refuse(`is version ${version}, which is too old: Mintmark needs ${oldestVersion} or newer`)
  }
  if (is_standby) throw refuse('is a standby, which takes no writes: add the primary to the hosts in the URL')
  if (is_read_only) throw refuse('is read-only: set default_transaction_read_only = off there')
  if (is_lazy && isPooled) {
    // Behind such a pooler, a session's settings hold for its next user too.
    throw refuse(
      'answers before a commit is durable: `alter role … set synchronous_commit = on` for the user of the URL',
    )
  }
  // Never lowered: remote_apply stays what it is.
  if (is_lazy) await client.query('set synchronous_commit = on')
  return timelineOf(client)
}

/**
 * Which primary this is; undefined where the server does not tell, as engines that only speak the protocol.
 */
async function timelineOf(client: pg.ClientBase): Promise<Timeline | undefined> {
  try {
    const { rows } = await client.query(
      `select (select system_identifier::text from pg_control_system()) as system_id,
        ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint as number`,
    )
    return { systemId: String(rows[0]?.system_id), number: Number(rows[0]?.number) }
  } catch (error) {
    if (error instanceof pg.DatabaseError && /^(0A|42)/.test(error.code ?? '')) return undefined
    throw error
  }
}

/** Values as this program has them: ids are 16 bytes, numbers are numbers. */
const types: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') => {
    if (format === 'binary') return pg.types.getTypeParser(oid, format)
    if (oid === 2950) return (text: string) => Buffer.from(text.replaceAll('-', ''), 'hex')
    if (oid === 20 || oid === 1700) return Number // int8, and the sums of it
    return pg.types.getTypeParser(oid, format ?? 'text')
  }) as typeof pg.types.getTypeParser,
}

/** How each connection is made. */
export function clientConfig(url: PostgresUrl, { isPooled, isPatient }: PostgresOptions): pg.ClientConfig {
  // A pooler refuses what it does not know among the parameters of a start.
  const limits = isPooled
    ? {}
    : {
        statement_timeout: isPatient ? 0 : statementMs,
        lock_timeout: isPatient ? 0 : lockMs,
        idle_in_transaction_session_timeout: isPatient ? 0 : 60_000,
      }
  return {
    user: url.user,
    database: url.database,
    ...(url.password === undefined ? {} : { password: url.password }),
    ...(url.options === undefined ? {} : { options: url.options }),
    ssl: tlsOptions(url),
    application_name: url.applicationName,
    connectionTimeoutMillis: url.connectSeconds * 1000,
    keepAlive: true,
    // The server speaks first, unless it hangs or the network is gone.
    query_timeout: isPatient ? 0 : statementMs + 1000,
    types,
    ...limits,
  }
}

function tlsOptions({ tls, sslrootcert, sslcert, sslkey }: PostgresUrl): pg.ClientConfig['ssl'] {
  if (tls === 'disable') return false
  return {
    ...(sslrootcert === undefined ? {} : { ca: readFileSync(sslrootcert, 'utf8') }),
    ...(sslcert === undefined ? {} : { cert: readFileSync(sslcert, 'utf8') }),
    ...(sslkey === undefined ? {} : { key: readFileSync(sslkey, 'utf8') }),
    rejectUnauthorized: tls !== 'require',
    ...(tls === 'verify-ca' ? { checkServerIdentity: () => undefined } : {}),
  }
}
