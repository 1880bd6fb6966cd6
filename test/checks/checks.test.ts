import t from 'tap'
import { check, checks } from '../helpers/checks.ts'

/* One after the other, beside the tests that wait. */
for (const command of checks)
  t.test(command, async t => {
    const { code, output } = await check(command)
    if (code !== 0) t.fail('it finds something', { found: output.split('\n') })
    else t.pass('it finds nothing')
  })
