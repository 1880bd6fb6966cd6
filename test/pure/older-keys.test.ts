import t from 'tap'
import { rowsUnderOlderKeys } from '../../src/keys/root/older-keys.ts'

t.test('what is sealed under older root keys is looked for where there is an older one alone', async t => {
  const asked: string[] = []
  const list = async (currentId: string) => {
    asked.push(currentId)
    return ['a row']
  }
  t.strictSame(await rowsUnderOlderKeys({ ids: ['b'], currentId: 'b' }, list), [])
  t.strictSame(asked, [], 'it could not be opened')
  t.strictSame(await rowsUnderOlderKeys({ ids: ['b', 'a'], currentId: 'b' }, list), ['a row'])
  t.strictSame(asked, ['b'])
})
