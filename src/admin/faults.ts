import { PostgresUnavailable } from '../../db/engines/postgres-errors.ts'
import { ConfigError, OAuthError, Refusal } from '../errors.ts'

/** The codes of SQLite, PostgreSQL and the operating system, in words that tell what to do. */
const sentences: ReadonlyMap<string, string> = new Map([
  [
    'SQLITE_BUSY',
    'the database stayed locked by another process for fifteen seconds; that step was not done, try again',
  ],
  [
    'SQLITE_READONLY',
    'the database cannot be written: make the file and its directory writable for this user',
  ],
  [
    'SQLITE_CANTOPEN',
    'the database file cannot be opened: make it and its directory readable and writable for this user',
  ],
  ...['SQLITE_IOERR_SHMOPEN', 'SQLITE_IOERR_SHMMAP', 'SQLITE_IOERR_LOCK'].map((code): [string, string] => [
    code,
    'the file system does not let processes share memory and locks, as SQLite needs: put the database on a local disk',
  ]),
  ['SQLITE_NOTADB', 'the database file is not an SQLite database: put it aside and restore a backup'],
  ['SQLITE_CORRUPT', 'the database file is damaged: put it aside and restore a backup'],
  ['SQLITE_FULL', 'the disk is full; nothing was changed'],
  // PostgreSQL's SQLSTATEs.
  [
    '42501',
    'the database user may not do this: let it own the database, or `grant create, usage` on the schema to it',
  ],
  ['55P03', 'the database stayed locked by another session; nothing was changed, try again'],
  ['53100', "the disk of the database's server is full; nothing was changed"],
  ['25006', 'the database takes no writes; nothing was changed'],
  ['ENOSPC', 'the disk is full'],
  ['EACCES', 'permission denied'],
  ['EPERM', 'not permitted'],
  ['EROFS', 'the file system is read-only'],
  ['EEXIST', 'it exists already, and nothing is overwritten'],
  ['ENOENT', 'there is no such file or directory'],
  ['EISDIR', 'it is a directory'],
  ['ENOTDIR', 'a part of the path is not a directory'],
  ['EADDRINUSE', 'the address is in use: stop the process that listens there, or set another MINTMARK_PORT'],
  ['EADDRNOTAVAIL', 'this machine has no such address: set another MINTMARK_HOST'],
])

/** One or more lines about an error, for an administrator. A stack trace is only shown with `isDebug`. */
export function describeFault(error: unknown, isDebug = false): string {
  if (error instanceof ConfigError) return error.message
  if (error instanceof Refusal) return describeRefusal(error)
  if (error instanceof PostgresUnavailable) return error.message
  if (error instanceof OAuthError) return causeOf(error)
  if (!(error instanceof Error)) return `unexpected: ${String(error)}`
  const { code, path, address, port } = error as NodeJS.ErrnoException & { address?: string; port?: number }
  const sentence = code === undefined ? undefined : (sentences.get(code) ?? sentences.get(familyOf(code)))
  if (sentence !== undefined) {
    const subject = path ?? (port === undefined ? undefined : `${address ?? ''}:${port}`)
    return subject === undefined ? sentence : `${subject}: ${sentence}`
  }
  if (isDebug) return `unexpected: ${error.stack ?? error.message}`
  return `unexpected: ${error.message} (MINTMARK_LOG_LEVEL=debug shows where)`
}

function describeRefusal({ text, advice }: Refusal): string {
  return advice === undefined ? text : `${text}: ${advice}`
}

/** SQLite's extended codes begin with the plain one: `SQLITE_BUSY_SNAPSHOT`. */
function familyOf(code: string): string {
  return code.split('_').slice(0, 2).join('_')
}

function causeOf(error: OAuthError): string {
  return error.cause instanceof Error ? error.cause.message : error.message
}
