import type { Import, Source } from './sources.ts'

export interface Place {
  readonly path: string
  /** From 1. */
  readonly line: number
}

/** The lines on which the pattern is found. */
export function placesOf(sources: readonly Source[], pattern: RegExp): readonly Place[] {
  return sources.flatMap(({ path, text }) =>
    text.split('\n').flatMap((line, i) => (pattern.test(line) ? [{ path, line: i + 1 }] : [])),
  )
}

export function filesOf(places: readonly Place[]): ReadonlySet<string> {
  return new Set(places.map(({ path }) => path))
}

interface Definition {
  readonly name: string
  readonly path: string
  readonly body: string
}

/** Functions that stand at the beginning of a line, and so end with a brace there. */
function functionsOf(sources: readonly Source[]): readonly Definition[] {
  const form = /^(?:export )?(?:async )?function (\w+)[^]*?^\}/gm
  return sources.flatMap(({ path, text }) =>
    [...text.matchAll(form)].map(([body, name = '']) => ({ name, path, body })),
  )
}

/** The functions for which it holds, and those that call one of them. */
function closureOf(functions: readonly Definition[], holds: (body: string) => boolean): ReadonlySet<string> {
  const names = new Set(functions.filter(({ body }) => holds(body)).map(({ name }) => name))
  for (let size = -1; size !== names.size;) {
    size = names.size
    for (const { name, body } of functions) {
      if ([...body.matchAll(/\b(\w+)\(/g)].some(([, called = '']) => called !== name && names.has(called)))
        names.add(name)
    }
  }
  return names
}

/**
 * Where src/ ends sessions: the calls of functions of db/ that write the end of a session, or note that all
 * of a user or client have ended. Functions that work off such a note do not count.
 */
export function endingPlaces(sources: readonly Source[]): readonly Place[] {
  const inDatabase = functionsOf(sources.filter(({ path }) => path.startsWith('db/')))
  const worksOff = (body: string) => body.includes(`deleteFrom('endings')`)
  const writesEnd = (body: string) =>
    /insertInto\('endings'\)|updateTable\('sessions'\)[^;]*\.set\(\{ revoked_at/.test(body)
  const names = closureOf(
    inDatabase.filter(({ body }) => !worksOff(body)),
    writesEnd,
  )
  return importedCalls(
    sources.filter(({ path }) => path.startsWith('src/')),
    names,
  )
}

/** Calls of what a file has imported by one of these names from db/. */
function importedCalls(sources: readonly Source[], names: ReadonlySet<string>): readonly Place[] {
  return sources.flatMap(source => {
    const imported = [...source.text.matchAll(/^import \{([^}]*)\} from '[^']*\/db\/[^']*'/gm)]
      .flatMap(([, list = '']) => list.split(',').map(name => name.trim()))
      .filter(name => names.has(name))
    if (imported.length === 0) return []
    return placesOf([source], new RegExp(`\\b(${imported.join('|')})\\(`))
  })
}

/**
 * Test files that start a PostgreSQL cluster, by themselves or by a helper that gives each file one of its
 * own.
 */
export function clusterFiles(tests: readonly Source[]): readonly string[] {
  // A helper that asks the environment starts none on an ordinary day.
  const helpers = functionsOf(tests.filter(({ path }) => !path.endsWith('.test.ts'))).filter(
    ({ body }) => !body.includes('process.env'),
  )
  const names = ['startPostgres', ...closureOf(helpers, body => /\bstartPostgres\(/.test(body))]
  const starts = new RegExp(`\\b(${names.join('|')})\\(`)
  return tests
    .filter(({ path, text }) => path.endsWith('.test.ts') && starts.test(text))
    .map(({ path }) => path)
}

/** Ids such as H-9 that tests name and no row of REQUIREMENTS.md explains. */
export function idsWithoutRow(tests: readonly Source[], requirements: string): readonly string[] {
  const rows = new Set([...requirements.matchAll(/^\| ([A-Z]{1,2}-\d+) \|/gm)].map(([, id = '']) => id))
  const named = new Set<string>()
  for (const { text } of tests) {
    // Curves are written alike.
    const ids = text.replace(/\bP-(256|384|521)\b/g, '').matchAll(/(?<![\w-])[A-Z]{1,2}-\d{1,3}(?![\w-])/g)
    for (const [id] of ids) named.add(id)
  }
  return [...named].filter(id => !rows.has(id)).toSorted()
}

/** Files of a folder that import from db/. */
export function importersOfDatabase(imports: readonly Import[], folder: string): ReadonlySet<string> {
  return new Set(
    imports.filter(({ from, to }) => from.startsWith(folder) && to.startsWith('db/')).map(({ from }) => from),
  )
}

export interface CommentFigures {
  readonly lines: number
  /** Those with a subject that is a clause itself. */
  readonly clauses: number
  /** A word in backticks is a value that is quoted. */
  readonly bookish: number
  readonly long: number
}

/** How plain the comments are. */
export function commentFigures(sources: readonly Source[]): CommentFigures {
  const lines = sources
    .flatMap(({ text }) => text.split('\n'))
    .filter(line => /^\s*(\/\/|\/\*|\*)|\s\/\/ /.test(line))
  const count = (pattern: RegExp) => lines.filter(line => pattern.test(line)).length
  return {
    lines: lines.length,
    clauses: count(/(?:[/*]|[.:;]) (?:What|Who) [^.;]*\b(?:is|are|has|have|was|were)\b/),
    bookish: count(/(?<!`)\b(?:nobody|whoever|lest|hence|likewise|meanwhile)\b/i),
    long: lines.filter(line => line.length > 110).length,
  }
}
