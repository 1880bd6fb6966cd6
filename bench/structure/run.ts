// Measures how the code is built: of this checkout or, with `--of DIR`, of another one that has its
// node_modules. A line is executed when a part of it is, and is neither blank nor a comment nor a type.
import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { commentFigures } from './comments.ts'
import {
  endingPlaces,
  filesOf,
  idsWithoutRow,
  importersOfDatabase,
  ownClusters,
  placesOf,
  type Place,
} from './counts.ts'
import { countLines } from './recorded.ts'
import { arrowsBack, circlesOfRooms, roomOf, rooms } from './rooms.ts'
import { measureExecutions } from './server.ts'
import { circlesOf, importsOf, sourcesOf } from './sources.ts'
import { spineOf } from './spine.ts'

const { values } = parseArgs({
  options: { of: { type: 'string', default: join(import.meta.dirname, '../..') } },
})
const checkout = resolve(values.of)
const read = (path: string) => readFileSync(join(checkout, path), 'utf8')

const rows: [name: string, figure: string, goal: string][] = []
const details: string[] = []
const row = (name: string, figure: number | string, goal: number | string = '') =>
  rows.push([name, String(figure), String(goal)])
const detail = (title: string, found: readonly string[]) => {
  if (found.length > 0) details.push(`${title}:\n${found.map(line => `  ${line}\n`).join('')}`)
}

const placeText = ({ path, line }: Place) => `${path}:${line}`

/** How many lines each kind of request may execute; of a refresh, in how many files too. */
const goals: Readonly<Record<string, string>> = {
  refresh: '500 in 22 files',
  'late retry': '749',
  'password grant': '669',
  revoke: '333',
  introspect: '243',
}

const sources = sourcesOf(checkout, ['src', 'db'])
const tests = sourcesOf(checkout, ['test'])
const imports = importsOf(sources)

const executions = await measureExecutions(checkout, name => process.stderr.write(`measuring: ${name}\n`))
for (const { name, lines, wholeLines, linesToRow } of executions) {
  const toRow = linesToRow ? `, ${linesToRow.size} up to the row` : ''
  row(`lines executed: ${name}`, `${countLines(lines)} in ${lines.size} files${toRow}`)
  row(`… of all in the functions that ran`, countLines(wholeLines), goals[name])
}
const refresh = executions.find(({ name }) => name === 'refresh')
if (refresh) {
  const spine = spineOf(refresh, imports, read)
  const imported = spine.filter(({ isImported }) => isImported).length
  const lines = spine.reduce((sum, stop) => sum + stop.lines, 0)
  row(
    'spine of a refresh: files by import, lines to read',
    `${imported} of ${spine.length}, ${lines}`,
    '4 of 4, < 300',
  )
  detail(
    'spine of a refresh',
    spine.map(stop => `${stop.path} (${stop.lines}${stop.isImported ? '' : ', by no import'})`),
  )
  const ranked = [...refresh.lines].toSorted(([, a], [, b]) => b.size - a.size)
  detail(
    'lines that a refresh executes',
    ranked.map(([path, { size }]) => `${String(size).padStart(4)} ${path}`),
  )
}

const endings = endingPlaces(sources)
const isOutside = ({ path }: Place) => !path.startsWith('src/endings/')
row('places that end sessions, outside src/endings/', endings.filter(isOutside).length, 0)
detail('places that end sessions', endings.map(placeText))

const property = placesOf(
  sources.filter(({ path }) => !path.includes('/migrations/')),
  /forwards_user_address|forwardsUserAddress/,
)
row('lines that name a client property', `${property.length} in ${filesOf(property).size} files`, '3')

const commands = sources.filter(({ path }) => path.startsWith('src/commands/')).length
row('commands that import db/', `${importersOfDatabase(imports, 'src/commands/').size} of ${commands}`, 0)

const circles = circlesOf(imports)
row(
  'circles of imports, types included',
  circles.length === 0 ? 0 : `${circles.length}, the largest of ${circles[0]?.length} files`,
  0,
)
detail(
  'circles of imports',
  circles.map(circle => circle.join(' ')),
)

const back = arrowsBack(imports)
const known = new Set(sources.map(({ path }) => roomOf(path)))
const isInOrder = [...known].every(room => rooms.includes(room))
row('arrows against the order of rooms', isInOrder ? back.length : 'has other rooms', 0)
if (isInOrder) detail('arrows against the order of rooms', back)
const roomCircles = circlesOfRooms(imports)
row('rooms in circles of rooms', roomCircles.flat().length, 0)
detail(
  'circles of rooms',
  roomCircles.map(circle => circle.join(' ')),
)

const ofARun = tests.filter(({ path }) => !path.startsWith('test/long/'))
const clusters = ownClusters(ofARun)
row(
  'PostgreSQL clusters beside the one of a run',
  `${clusters.length} in ${filesOf(clusters).size} files`,
  'to stop one, or to set it up',
)
detail('PostgreSQL clusters beside the one of a run', clusters.map(placeText))

const assemblies = placesOf(
  [...sources, ...tests, ...sourcesOf(checkout, ['bench'])],
  /(?<!function )\bopenContext\(/,
)
row('places that put a server together', assemblies.length, 1)

const requirements = existsSync(join(checkout, 'test/REQUIREMENTS.md')) ? read('test/REQUIREMENTS.md') : ''
row('test ids without a row in REQUIREMENTS.md', idsWithoutRow(tests, requirements).length, 0)

const comments = commentFigures([...sources, ...tests, ...sourcesOf(checkout, ['bench', 'examples'])])
row('comment lines', comments.lines)
row('… with a clause for a subject (What … is …)', comments.clauses.length, 0)
row('… with nobody, whoever, lest, hence, likewise or meanwhile', comments.bookish.length, 0)
row('… over 110 columns', comments.long, 0)
detail('comments to say in plain words', [...comments.clauses, ...comments.bookish].map(placeText))

const widths = [0, 1].map(i => Math.max(...rows.map(each => each[i]?.length ?? 0)))
for (const [name, figure, goal] of [['', 'figure', 'goal'], ...rows]) {
  console.log(`${name?.padEnd(widths[0] ?? 0)}  ${figure?.padEnd(widths[1] ?? 0)}  ${goal}`.trimEnd())
}
console.log(`\n${details.join('\n')}`)
