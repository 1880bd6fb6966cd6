import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { describePostgresUrl, parsePostgresUrl } from '../../db/engines/postgres-url.ts'
import { hasControls, readText } from '../values/text-input.ts'
import { prefix, settings } from './settings.ts'

/** The place of the database: an absolute path, or the URL of a server, which may hold a password. */
export type DatabaseUrl =
  { readonly engine: 'sqlite'; readonly file: string } | { readonly engine: 'postgres'; readonly url: string }

const forms = 'sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/NAME'

/**
 * Where the database is, by the setting DATABASE_URL (`text`) or DATABASE_URL_FILE (`file`); one of them may
 * be set. Faults go to `problems`, which never show the URL or the file's text.
 */
export function databaseUrlOf(
  { text, file }: { readonly text: string | undefined; readonly file: string | undefined },
  home: string,
  problems: string[],
): DatabaseUrl {
  const fallback: DatabaseUrl = { engine: 'sqlite', file: resolve(home, 'db/mintmark.sqlite') }
  const complain = (problem: string) => {
    problems.push(problem)
    return fallback
  }
  const [urlName, fileName] = [settings.databaseUrl, settings.databaseUrlFile].map(
    ({ name }) => prefix + name,
  )
  if (text !== undefined && file !== undefined) {
    return complain(`${urlName} and ${fileName} are both set, but only one may be`)
  }
  if (text !== undefined) {
    const url = parseDatabaseUrl(text, home)
    return 'engine' in url ? url : complain(`${urlName} ${url.problem}`)
  }
  if (file === undefined) return fallback
  if (/:\/\/|^sqlite:/.test(file)) {
    return complain(`${fileName} takes the path of a file that holds the URL; the URL itself is ${urlName}`)
  }
  const url = readDatabaseUrlFile(resolve(home, file), home)
  return 'engine' in url ? url : complain(`${fileName} is ${url.problem}`)
}

/** The URL that a file holds as its one line. `path` is absolute. */
export function readDatabaseUrlFile(path: string, home: string): DatabaseUrl | { readonly problem: string } {
  const content = readFile(path)
  if ('problem' in content) return { problem: `${JSON.stringify(path)}, which ${content.problem}` }
  const text = content.text.trim()
  if (text === '') return { problem: `${JSON.stringify(path)}, which is empty` }
  const url = parseDatabaseUrl(text, home)
  return 'engine' in url ? url : { problem: `${JSON.stringify(path)}, whose one line ${url.problem}` }
}

/** `sqlite:PATH`, relative to `home`, or the URL of a PostgreSQL server. */
export function parseDatabaseUrl(text: string, home: string): DatabaseUrl | { readonly problem: string } {
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

function readFile(file: string): { readonly text: string } | { readonly problem: string } {
  try {
    const read = readText(readFileSync(file))
    return 'text' in read ? read : { problem: `is ${read.problem}` }
  } catch {
    return { problem: 'cannot be read' }
  }
}
