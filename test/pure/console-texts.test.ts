import t from 'tap'
import { csvLine } from '../../src/console/app/parts/csv.ts'
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
