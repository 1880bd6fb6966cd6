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
 * Where src/ ends sessions or sign-ins: the calls of functions of db/ that write their end, or note that all
 * of a user or client have ended, and the events that tell of it. Two kinds do not count: functions that work
 * off such a note, and those that start a session or sign-in and return which ones have gone for it, of
 * which the events are told.
 */
export function endingPlaces(sources: readonly Source[]): readonly Place[] {
  const inDatabase = functionsOf(sources.filter(({ path }) => path.startsWith('db/')))
  const isOther = (body: string) =>
    /deleteFrom\('endings'\)|insertInto\('sign_ins'\)|\baddSession\(/.test(body)
  const writesEnd = (body: string) =>
    /insertInto\('endings'\)|deleteFrom\('sign_ins'\)\s*\.where\('id', '='|updateTable\('sessions'\)[^;]*\.set\(\{ revoked_at/.test(
      body,
    )
  const names = closureOf(
    inDatabase.filter(({ body }) => !isOther(body)),
    writesEnd,
  )
  const inSource = sources.filter(({ path }) => path.startsWith('src/'))
  // The room that knows what each event looks like makes none.
  const makers = inSource.filter(({ path }) => !path.startsWith('src/record/'))
  return [...importedCalls(inSource, names), ...placesOf(makers, endingEvent)]
}

const endingEvent =
  /\bevent: '(session_revoked|session_theft|code_replayed|user_revoked|client_revoked|sign_in_ended|all_keys_revoked)'/

/** Calls of what a file has imported from db/, under its own name or another. */
function importedCalls(sources: readonly Source[], names: ReadonlySet<string>): readonly Place[] {
  return sources.flatMap(source => {
    const called = [...source.text.matchAll(/^import \{([^}]*)\} from '[^']*\/db\/[^']*'/gm)]
      .flatMap(([, list = '']) => list.split(',').map(name => name.trim().split(' as ')))
      .filter(([name = '']) => names.has(name))
      .map(words => words.at(-1))
    if (called.length === 0) return []
    return placesOf([source], new RegExp(`\\b(${called.join('|')})\\(`))
  })
}

/** Where tests start a PostgreSQL cluster that is not the one that all of a run share. */
export function ownClusters(tests: readonly Source[]): readonly Place[] {
  const others = tests.filter(({ path }) => !path.endsWith('/postgres-holder.ts'))
  return placesOf(others, /(?<!function )\bstartPostgres\(/)
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
