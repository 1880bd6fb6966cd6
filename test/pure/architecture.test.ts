import { join } from 'node:path'
import t from 'tap'
import { withoutComments } from '../../bench/structure/code.ts'
import { commentFigures, hasClauseSubject } from '../../bench/structure/comments.ts'
import { endingPlaces } from '../../bench/structure/counts.ts'
import { arrowsBack, circlesOfRooms, roomOf, rooms } from '../../bench/structure/rooms.ts'
import { circlesOf, importsOf, sourcesOf, type Source as SourceText } from '../../bench/structure/sources.ts'

const root = join(import.meta.dirname, '../..')

interface Source extends SourceText {
  /** Without comments, and with empty strings. */
  readonly code: string
}

const all: readonly Source[] = sourcesOf(root, ['src', 'db']).map(source => ({
  ...source,
  code: withoutStrings(withoutComments(source.text)),
}))

/** Runs in browsers, and has rules of its own. */
const consoleApp = /^src\/console\/app\//

/** The server. */
const sources = all.filter(({ path }) => !consoleApp.test(path))

function withoutStrings(text: string): string {
  return text.replace(/'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`/g, "''")
}

/**
 * What stands in some files only. Looked for in the text with its strings, where imports name their module.
 */
const places: [found: RegExp, onlyIn: RegExp, why: string][] = [
  [/from '(kysely|better-sqlite3|pg)'/, /^db\//, 'all SQL is in db/'],
  [/from '(\.\.\/)+src\//, /^src\//, 'db/ does not depend on src/'],
  [/from 'jose'/, /^src\/keys\//, 'all signing and verifying is in src/keys/'],
  [
    /\b(create(Sign|Verify|Cipheriv|Decipheriv|PrivateKey)|generateKeyPair|hkdf)/,
    /^src\/keys\/|^src\/users\/imported-hashes.ts$/,
    'so is encrypting, but for what another system calls a hash',
  ],
  [/^import (?!type )[^']*from 'node:http'/m, /^src\/admin-api\//, 'a start has no time for it'],
  [/^import (?!type )[^']*from '\.\.\/server\.ts'/m, /^$/, 'and other commands none for the server'],
  [/\bcreateHmac\b/, /^$/, 'hmacSha256 is ten times as fast with a key that is used again'],
  [
    /from '(fastify|@fastify\/.*)'/,
    /^src\/(app|server|context|record\/log|jobs\/metrics)\.ts$|^src\/(http|endpoints|pages|admin-api|console|commands)\//,
    'only an endpoint knows HTTP',
  ],
  [
    /^import (?!type )[^']*from 'fastify'/m,
    /^src\/(app|jobs\/metrics|admin-api\/face)\.ts$/,
    'only the two listeners make one, and the admin API, which is an app of its own',
  ],
  [/^import (?!type )[^']*from '@fastify\/.*'/m, /^src\/[\w-]+\/face\.ts$/, 'plugins are of a face'],
  [
    /^import \{ (pino|[^}]*, pino)\b[^']*from 'pino'/m,
    /^src\/record\/log\.ts$/,
    'every log is without secrets',
  ],
  [
    /from '\.\.\/(?!errors\.ts|protocol\/|values\/)\w/,
    /^(?!src\/config\/)/,
    'settings are read before there is anything else',
  ],
  [
    /^import (?!type )[^']*from 'typebox/m,
    /^src\/(admin-api|admin)\//,
    'what a start loads has no time for it',
  ],
  [
    /(^import (?!type )[^']*from |\bimport\()'(@simplewebauthn\/|.*registration-thread\.ts)/m,
    /^src\/factors\/registration-thread\.ts$/,
    'reading it takes a fifth of a second, for which a registration has a thread of its own',
  ],
  [/\brequest\.log\b/, /^$/, 'its lines lack the id of the request, which those of logOf have'],
  [/\bfinishEnding\(/, /^src\/endings\//, 'who ends sessions need not know that work may be left'],
  [/process\.(env|argv|cwd)/, /^src\/main\.ts$/, 'the environment is read once'],
  [/Date\.now|new Date\(\)|performance\.now/, /^(src\/clock\.ts$|db\/engines\/)/, 'time comes from a clock'],
  [
    /set(Interval|Timeout)\b/,
    /^src\/(clock|jobs\/repeat)\.ts$|^db\/(engines\/(sqlite|postgres)|installation\/migrate)\.ts$/,
    'all timers are in the clock and repeat.ts',
  ],
  [/console\.|process\.std/, /^src\/(main\.ts$|commands\/)/, 'only the command line prints'],
  [/: any\b|<any>|as any\b/, /^db\/installation\/(migrations\/|migrate\.ts$)/, 'a value has a type'],
  [
    /^(export )?(abstract )?class (?!\w+ extends \w*Error)/m,
    /^db\/engines\/sqlite\.ts$/,
    'functions and data, no classes',
  ],
]

/** What stands nowhere in some files. Looked for in the code alone. */
const absences: [absent: RegExp, inFiles: RegExp, why: string][] = [
  [
    /\b(await|async|Promise)\b/,
    /^src\/(protocol\/|values\/|clients\/(judge-client|propert))/,
    'protocol/, values/ and the judge of clients are pure: they wait for nothing',
  ],
  [/\bexport default\b/, /./, 'what is imported has a name'],
  [/[\w)\]]!(?=[.,;)\]}\s[]|$)/m, /./, 'what may be undefined is looked at'],
]

/** Runs in other people's programs. Has rules of its own, below. */
const kit = /^src\/resource-server\//

t.test('everything has its place', async t => {
  for (const [found, onlyIn, why] of places) {
    const astray = sources.filter(
      ({ path, text }) => found.test(withoutComments(text)) && !onlyIn.test(path) && !kit.test(path),
    )
    t.strictSame(paths(astray), [], why)
  }
  for (const [absent, inFiles, why] of absences) {
    t.strictSame(paths(sources.filter(({ path, code }) => inFiles.test(path) && absent.test(code))), [], why)
  }
})

t.test('rooms import from those below them alone', async t => {
  const imports = importsOf(sources)
  t.ok(imports.length > 500, 'imports are found')
  t.ok(
    imports.some(({ isType }) => isType),
    'those of types too',
  )
  t.strictSame(
    paths(sources).filter(path => !rooms.includes(roomOf(path))),
    [],
    'each file is in a room that has its place in the order',
  )
  t.strictSame(
    arrowsBack(imports),
    [],
    'arrows against the order: a command, say, never looks into the database',
  )
  t.strictSame(circlesOf(imports), [], 'files that import each other, types included')
  t.strictSame(circlesOfRooms(imports), [], 'rooms that import from each other, types included')
})

t.test('sessions and sign-ins end in one room, with all that has to be told', async t => {
  const found = endingPlaces(sources)
  t.ok(found.length > 20, 'they are found')
  t.strictSame(
    found.filter(({ path }) => !path.startsWith('src/endings/')),
    [],
  )
})

t.test('protocol/ and values/ are pure: they import nothing that is not', async t => {
  const allowed =
    /^(node:(buffer|crypto|net|url|zlib)|\.\.\/errors\.ts|\.\.\/values\/[\w-]+\.ts|\.\/[\w-]+\.ts)$/
  for (const { path, text } of sources.filter(({ path }) => /^src\/(protocol|values)\//.test(path))) {
    const imports = [...text.matchAll(/from '([^']*)'/g)].map(match => match[1] ?? '')
    t.strictSame(
      imports.filter(name => !allowed.test(name)),
      [],
      path,
    )
  }
})

t.test('the kit for resource servers needs jose alone, and the server does not need it', async t => {
  const allowed =
    /^(jose|node:\w+|\.\/[\w-]+\.ts|\.\.\/protocol\/(status-list|normal-url|media-type|levels)\.ts|\.\.\/values\/(event-source|networks)\.ts)$/
  for (const { path, text } of sources) {
    const imports = [...text.matchAll(/^(?:import|export) (?!type ).* from '([^']*)'/gm)].map(
      match => match[1] ?? '',
    )
    const astray = kit.test(path)
      ? imports.filter(name => !allowed.test(name))
      : imports.filter(name => name.includes('resource-server'))
    t.strictSame(astray, [], path)
  }
})

t.test(
  'the console takes nothing of the server but pure values, and asks it by the admin API alone',
  async t => {
    const app = all.filter(({ path }) => consoleApp.test(path) && !path.endsWith('vite.config.ts'))
    t.ok(app.length > 20, 'it is found')
    for (const { path, text } of app) {
      const imports = [...text.matchAll(/from '([^']*)'/g)].map(match => match[1] ?? '')
      const allowed =
        /^(preact(\/hooks)?|@preact\/signals|openapi-fetch|uplot|(\.\.\/)+values\/[\w-]+\.ts|\.[^']*)$/
      t.strictSame(
        imports.filter(name => !allowed.test(name) || /(\.\.\/){3}(?!values\/)/.test(name)),
        [],
        path,
      )
      t.notMatch(
        text,
        /\b(innerHTML|dangerouslySetInnerHTML|eval|localStorage)\b/,
        `${path} makes no markup of texts`,
      )
      if (!/^src\/console\/app\/(api\/(send|schemas)|auth\/tokens)\.ts$/.test(path))
        t.notMatch(text, /\bfetch\(/, `${path} asks by the client of the API`)
    }
  },
)

t.test('a migration imports nothing but types', async t => {
  for (const { path, text } of sources.filter(({ path }) => path.startsWith('db/installation/migrations/'))) {
    const imports = [...text.matchAll(/^import (.*) from '([^']*)'/gm)]
    t.strictSame(
      imports.filter(([, what = '', from]) => !what.startsWith('type ') && from !== 'kysely').map(String),
      [],
      path,
    )
  }
})

t.test('comments say it in plain sentences', async t => {
  const others = sourcesOf(root, ['test', 'bench', 'examples'])
  const { lines, clauses, bookish, long } = commentFigures([...all, ...others])
  t.ok(lines > 5000, 'they are found')
  t.equal(long, 0, 'they end where the code does')
  t.strictSame(clauses, [], 'no subject is a clause itself: not “what is typed is sealed”')
  t.strictSame(bookish, [], 'a plain word stands for nobody, whoever, lest, hence, likewise, meanwhile')
  for (const clause of [
    'What is typed here is sealed.',
    'Reads a name. What has no form of its own stays as it is.',
    'Opens it: whoever has the key may read.',
  ])
    t.ok(hasClauseSubject(clause), clause)
  for (const plain of [
    'What a person has typed, as it is sealed.',
    'What the browser may load, and what is shown where it has nothing.',
    'Who is logged in: undefined where it has ended.',
    'Whatever it is, it is no JSON.',
  ])
    t.notOk(hasClauseSubject(plain), plain)
})

t.test('files and functions stay small, and names mean something', async t => {
  for (const { path, text } of all) {
    const lines = text.split('\n')
    // Lists, read one row at a time.
    const isList = path === 'db/schema.ts' || path === 'src/record/events.ts'
    t.ok(lines.length <= 301 || isList, `${path} has at most 300 lines`)
    t.strictSame(
      // A sentence that people read is one line.
      lines.filter(line => line.length > 140 && !/^src\/(pages|mail)\/texts\//.test(path)),
      [],
      `${path} has no line that is much too long`,
    )
    t.strictSame(longFunctions(lines), [], `${path} has no function of more than 70 lines`)
    t.notMatch(
      path,
      /(^|\/)(index|utils?|helpers?|common|shared|base|misc)(\.ts|\/)/,
      `${path} says what is in it`,
    )
    t.notMatch(text, /\b(TODO|FIXME|XXX)\b/, `${path} is finished`)
  }
})

/** Lists that are read from top to bottom, and gain nothing by being cut. */
const longLists = /function (loadConfig|openSqlite|up|\w+Commands)\(/

/**
 * The first lines of top-level functions that are too long; such end with a `}` in column 1, as they are
 * formatted.
 */
function longFunctions(lines: readonly string[]): string[] {
  const long: string[] = []
  let first = ''
  let start = 0
  lines.forEach((line, i) => {
    if (/^(export )?((async )?function |const \w+.*=> \{$)/.test(line)) [first, start] = [line, i]
    else if (/^\}/.test(line) && first !== '') {
      if (i - start >= 70 && !longLists.test(first)) long.push(first)
      first = ''
    }
  })
  return long
}

function paths(found: readonly Source[]): string[] {
  return found.map(({ path }) => path)
}

t.test('T-6 every error_description is made of the characters that RFC 6749 §5.2 allows', async t => {
  const descriptions = sources.flatMap(({ text }) => [
    ...text.matchAll(
      /(?:OAuthError\(\s*'\w+',|malformed\()\s*('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`[^`]*`)/g,
    ),
  ])
  t.ok(descriptions.length > 20, 'they are found')
  for (const [, literal = ''] of descriptions) {
    t.match(literal.slice(1, -1), /^[\x20\x21\x23-\x5b\x5d-\x7e]{10,}$/, literal)
  }
})
