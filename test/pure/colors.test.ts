import fc from 'fast-check'
import t from 'tap'
import { contrast, distinctFrom, mix, normalColor, readableOn } from '../../src/values/colors.ts'

const color = fc.integer({ min: 0, max: 0xffffff }).map(value => `#${value.toString(16).padStart(6, '0')}`)

t.test('contrasts are those of WCAG 2.2', async t => {
  t.equal(contrast('#000000', '#ffffff'), 21)
  t.equal(contrast('#ffffff', '#ffffff'), 1)
  // The examples that tools agree on: the lightest grey on white that passes for text, and the next.
  t.ok(contrast('#767676', '#ffffff') >= 4.5)
  t.ok(contrast('#777777', '#ffffff') < 4.5)
  fc.assert(fc.property(color, color, (one, other) => contrast(one, other) === contrast(other, one)))
})

t.test('text is readable on any colour, and any colour can be made distinct from any background', async t => {
  fc.assert(fc.property(color, background => contrast(readableOn(background), background) >= 4.5))
  fc.assert(
    fc.property(color, color, (accent, background) => {
      const distinct = distinctFrom(background, accent, 4.5)
      return contrast(distinct, background) >= 4.5 && normalColor(distinct) === distinct
    }),
  )
  t.equal(distinctFrom('#ffffff', '#0f766e', 4.5), '#0f766e', 'one that is distinct stays as it is')
  t.not(distinctFrom('#ffffff', '#ffd400', 4.5), '#000000', 'another stays as near to it as it can')
  t.equal(mix('#000000', '#ffffff', 0.5), '#808080')
})
