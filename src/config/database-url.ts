import { resolve } from 'node:path'
import { describePostgresUrl, parsePostgresUrl } from '../../db/engines/postgres-url.ts'
import { hasControls } from '../values/text-input.ts'
import { settings } from './settings.ts'
import { readUrlFile, urlOf, type Problem } from './url-setting.ts'

/** The place of the database: an absolute path, or the URL of a server, which may hold a password. */
export type DatabaseUrl =
  { readonly engine: 'sqlite'; readonly file: string } | { readonly engine: 'postgres'; readonly url: string }

const forms = 'sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/NAME'

/**
 * Where the database is, by the setting DATABASE_URL (`text`) or DATABASE_URL_FILE (`file`); one of them may
 * be set. Faults go to `problems`, which never show the URL or the file's text.
 */
export function databaseUrlOf(
  given: { readonly text: string | undefined; readonly file: string | undefined },
  home: string,
  problems: string[],
): DatabaseUrl {
  const names = [settings.databaseUrl, settings.databaseUrlFile] as const
  const parse = (text: string) => parseDatabaseUrl(text, home)
  return (
    urlOf(given, { settings: names, home, parse }, problems) ?? {
      engine: 'sqlite',
      file: resolve(home, 'db/mintmark.sqlite'),
    }
  )
}

/** The URL that a file holds as its one line. `path` is absolute. */
export function readDatabaseUrlFile(path: string, home: string): DatabaseUrl | Problem {
  return readUrlFile(path, text => parseDatabaseUrl(text, home))
}

/** `sqlite:PATH`, relative to `home`, or the URL of a PostgreSQL server. */
export function parseDatabaseUrl(text: string, home: string): DatabaseUrl | Problem {
  if (hasControls(text)) {
    return {
      problem: `holds a line break or another control character: it takes ${forms}, and nothing behind it`,
    }
  }
  if (text.startsWith('sqlite:')) {
    const path = text.slice('sqlite:'.length)
    // `//host` would be another machine, and SQLite's `:memory:` would forget everything.
    return /^$|^\/\/[^/]|^:|^\s|\s$/.test(path)
      ? { problem: `takes ${forms}` }
      : { engine: 'sqlite', file: resolve(home, path) }
  }
  if (!/^postgres(ql)?:\/\//.test(text)) return { problem: `takes ${forms}` }
  const url = parsePostgresUrl(text)
  return 'problem' in url ? url : { engine: 'postgres', url: text }
}

/** For people: the path, or the server without user and password. */
export function describeDatabaseUrl(location: DatabaseUrl): string {
  if (location.engine === 'sqlite') return location.file
  const url = parsePostgresUrl(location.url)
  return 'problem' in url ? 'postgres' : describePostgresUrl(url)
}
