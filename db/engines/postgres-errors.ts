import pg from 'pg'
import { describeHost, type PostgresHost, type PostgresUrl } from './postgres-url.ts'

/**
 * There is no connection to a PostgreSQL that takes writes. The message says in one line why, and what to do.
 */
export class PostgresUnavailable extends Error {
  override readonly name = 'PostgresUnavailable'
}

/** Whether the statement was undone for the sake of another one, and is worth another try. */
export function isConflict(error: unknown): boolean {
  return ['40001', '40P01'].includes(sqlStateOf(error) ?? '')
}

/** Whether a prepared statement has become stale, because a migration has changed what `*` stands for. */
export function isStaleStatement(error: unknown): boolean {
  return (
    error instanceof pg.DatabaseError && error.code === '0A000' && error.routine === 'RevalidateCachedQuery'
  )
}

/**
 * Whether the connection is of no use any more: it was cut, its server is going down, or its server takes no
 * writes (which a demoted primary says of each statement, while it answers reads for ever).
 */
export function isDeadConnection(error: unknown): boolean {
  const state = sqlStateOf(error)
  if (state === undefined) return true
  return isFatal(error) || state === '25006' || state.startsWith('08') || state.startsWith('57P')
}

/** Whether the server said no to this statement: then nothing was done. Without its word that is unknown. */
export function isDefinite(error: unknown): boolean {
  return sqlStateOf(error) !== undefined && !isFatal(error)
}

/** Whether the failure may lie in what was written, and not in the state of the server. */
export function isAboutData(error: unknown): boolean {
  return isDefinite(error) && /^(2[0-7]|P0|40|44)/.test(sqlStateOf(error) ?? '') && !isDeadConnection(error)
}

/** The error of a first contact, as one line that says what to do. */
export function explain(error: unknown, url: PostgresUrl, host: PostgresHost): PostgresUnavailable {
  if (error instanceof PostgresUnavailable) return error
  const reason = reasonOf(error, url)
  return new PostgresUnavailable(`PostgreSQL at ${describeHost(host)} ${reason}`, { cause: error })
}

function reasonOf(error: unknown, { user, database, connectSeconds }: PostgresUrl): string {
  const code = (error as { code?: unknown }).code
  const message = error instanceof Error ? error.message : String(error)
  switch (code) {
    case '28P01':
      return `refuses the password of the user ${user}: correct it in the URL`
    case '28000':
      return `refuses the user ${user} (${message})`
    case '3D000':
      return `has no database ${database}: create it, or correct the URL`
    case '42501':
      return `does not let the user ${user} into the database ${database}: grant connect on it`
    case '53300':
      return 'has no connection left: raise its max_connections, or lower MINTMARK_DATABASE_POOL_SIZE'
    case '57P03':
      return 'is starting or stopping: try again in a moment'
    case 'ECONNREFUSED':
    case 'ENOENT':
      return 'does not answer: nothing listens there. Start it, or correct the host and port in the URL'
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'cannot be found: there is no host of this name. Correct the URL'
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return 'shows a certificate for another host: correct the host, or use sslmode=verify-ca'
  }
  if (/startup parameter/.test(message)) {
    return 'is a pooler that keeps nothing in a session: set MINTMARK_DATABASE_POOLER=transaction'
  }
  if (/timeout/.test(message)) return `did not answer within ${connectSeconds} s`
  if (/does not support SSL/.test(message)) {
    return 'offers no TLS: switch it on there, or add sslmode=disable to the URL if the network between is trusted'
  }
  if (/certificate|CERT/.test(`${String(code)} ${message}`)) {
    return `shows a certificate that is not trusted (${message}): name its authority with sslrootcert=FILE in the URL`
  }
  return `is not available (${message})`
}

function sqlStateOf(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.code : undefined
}

function isFatal(error: unknown): boolean {
  return error instanceof pg.DatabaseError && ['FATAL', 'PANIC'].includes(error.severity ?? '')
}
