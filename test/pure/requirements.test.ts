import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'

const folder = join(import.meta.dirname, '..')
const requirements = readFileSync(join(folder, 'REQUIREMENTS.md'), 'utf8')
const rows = [...requirements.matchAll(/^\| ([A-Z]{1,2}-\d+) \|/gm)].map(([, id = '']) => id)

/** What tests name, with their files. Curves are written alike, and are none of it. */
function namedIds(): ReadonlyMap<string, string> {
  const named = new Map<string, string>()
  for (const file of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.ts')) continue
    const text = readFileSync(join(folder, file), 'utf8').replace(/\bP-(256|384|521)\b/g, '')
    for (const [id] of text.matchAll(/(?<![\w-])[A-Z]{1,2}-\d{1,3}(?![\w-])/g)) named.set(id, file)
  }
  return named
}

t.test('each id that a test names has a row in REQUIREMENTS.md, and each row is named by a test', async t => {
  const named = namedIds()
  t.ok(named.size > 100, 'they are found')
  t.equal(new Set(rows).size, rows.length, 'no id has two rows')
  t.strictSame(
    [...named].filter(([id]) => !rows.includes(id)).map(([id, file]) => `${id} in ${file}`),
    [],
    'ids without a row',
  )
  t.strictSame(
    rows.filter(id => !named.has(id)),
    [],
    'rows that no test names',
  )
})
