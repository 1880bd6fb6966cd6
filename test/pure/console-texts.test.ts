import t from 'tap'
import { csvLine } from '../../src/console/app/parts/csv.ts'
import { patternOf } from '../../src/console/app/parts/form-data.ts'
import { eventWords } from '../../src/console/app/parts/events.ts'
import { eventNames } from '../../src/record/events.ts'

t.test('the console has words for each event, once', async t => {
  const known = Object.values(eventWords).flatMap(group => Object.keys(group))
  t.strictSame(known.toSorted(), [...eventNames].toSorted())
})

t.test('a cell that a program for tables would run is text', async t => {
  t.equal(csvLine(['ada', 7, null]), '"ada","7",""\r\n')
  t.equal(csvLine(['say "hi", ada\n']), '"say ""hi"", ada\n"\r\n')
  for (const first of ['=', '+', '-', '@', '\t', '\r', ' =', '\n@'])
    t.equal(csvLine([`${first}cmd`]), `"'${first}cmd"\r\n`, JSON.stringify(first))
})

t.test('nor does it run one where semicolons separate cells', async t => {
  // There, all that follows the first cell is read as if it had no quotes.
  t.equal(csvLine(['ada;=cmd']), `"ada;'=cmd"\r\n`)
  t.equal(csvLine(['ada; "+cmd;x']), `"ada;' ""+cmd;x"\r\n`)
  t.equal(csvLine(['ada\n＝cmd']), `"ada\n'＝cmd"\r\n`)
  const userAgent = 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)'
  t.equal(csvLine([userAgent, '{"a":[-1,2]}']), `"${userAgent}","{""a"":[-1,2]}"\r\n`, 'other texts stay')
})

t.test('a deletion is confirmed by the whole name alone', async t => {
  // As browsers read a pattern (HTML, compiled pattern regular expression).
  const takes = (name: string, typed: string) => new RegExp(`^(?:${patternOf(name)})$`, 'v').test(typed)
  const all = String.fromCharCode(...Array.from({ length: 95 }, (_, i) => 32 + i))
  for (const name of [all, 'ada@example.com', 'demo-web', 'a.b', 'Åsa&&--Ü']) {
    t.ok(takes(name, name), name)
    t.notOk(takes(name, 'any'), name)
  }
  t.notOk(takes('a.b', 'axb'))
})
