import t from 'tap'
import {
  namedBy,
  matchesPattern,
  readSubjects,
  subjectProblems,
  type TrustedSubject,
} from '../../src/protocol/trusted-subjects.ts'

const one = (changes: Partial<TrustedSubject>): TrustedSubject => ({
  subject: null,
  subject_pattern: null,
  claims: {},
  client: 'web',
  user: null,
  ...changes,
})

t.test('a pattern stands for whole parts of a subject, and never for a part of one', async t => {
  const cases: [pattern: string, is: readonly string[], isNot: readonly string[]][] = [
    [
      'repo:acme/*:ref:refs/heads/main',
      ['repo:acme/shop:ref:refs/heads/main', 'repo:acme/acme:ref:refs/heads/main'],
      [
        'repo:acme-evil/shop:ref:refs/heads/main',
        'repo:acme/shop:ref:refs/heads/main-evil',
        'repo:acme/shop:ref:refs/heads/main/x',
        'repo:acme/shop:ref:refs/heads',
        'repo:acme/a/b:ref:refs/heads/main',
        'repo:acme/shop:evil:ref:refs/heads/main',
        'repo:acme/:ref:refs/heads/main',
        'repo:acme:shop:ref:refs/heads/main',
        'repo/acme/shop/ref/refs/heads/main',
        'Repo:acme/shop:ref:refs/heads/main',
        'xrepo:acme/shop:ref:refs/heads/main',
        '',
      ],
    ],
    [
      'repo:acme/shop:ref:refs/tags/**',
      ['repo:acme/shop:ref:refs/tags/v1', 'repo:acme/shop:ref:refs/tags/a/b:c'],
      [
        'repo:acme/shop-evil:ref:refs/tags/v1',
        'repo:acme/shop:ref:refs/tags/',
        'repo:acme/shop:ref:refs/tags/a//b',
        'repo:acme/shop:ref:refs/tags',
        'repo:acme/shop:ref:refs/tags:v1',
        'repo:acme/shop:ref:refs/heads/v1',
      ],
    ],
    [
      'system:serviceaccount:shop:*',
      ['system:serviceaccount:shop:orders'],
      [
        'system:serviceaccount:shop-test:orders',
        'system:serviceaccount:shop:a:b',
        'system:serviceaccount:shop:',
      ],
    ],
    ['spiffe://example.org/*/api', ['spiffe://example.org/prod/api'], ['spiffe://example.org/prod/x/api']],
  ]
  for (const [pattern, is, isNot] of cases) {
    t.strictSame([...subjectProblems([one({ subject_pattern: pattern })])], [], pattern)
    for (const sub of is) t.ok(matchesPattern(pattern, sub), `${pattern} is ${sub}`)
    for (const sub of isNot) t.notOk(matchesPattern(pattern, sub), `${pattern} is not ${sub}`)
  }
})

t.test('what cannot be a trusted subject is refused with the reason', async t => {
  const cases: [subject: Partial<TrustedSubject>, reason: RegExp][] = [
    [{}, /one of them, and not both/],
    [{ subject: 'a', subject_pattern: 'a:b:*' }, /one of them, and not both/],
    [{ subject: 'repo:acme/*' }, /which only a subject_pattern may have/],
    [{ subject: '' }, /1 to 500 characters/],
    [{ subject: 'a\nb' }, /1 to 500 characters/],
    [{ subject: 'x'.repeat(501) }, /1 to 500 characters/],
    [{ subject_pattern: 'repo:acme/shop*:x' }, /whole part/],
    [{ subject_pattern: 'repo:acme/***' }, /whole part/],
    [{ subject_pattern: 'repo:acme/**:main' }, /at the end/],
    [{ subject_pattern: 'repo:acme/shop' }, /has no \*/],
    [{ subject_pattern: 'repo:*/shop:ref:refs/heads/main' }, /the first two parts are spelt out/],
    [{ subject_pattern: '**' }, /the first two parts are spelt out/],
    [{ subject_pattern: 'spiffe://*' }, /the first two parts are spelt out/],
    [{ subject_pattern: '::::a:*' }, /the first two parts are spelt out/],
    [{ subject: 'a', claims: { aud: 'x' } }, /is judged by itself/],
    [{ subject: 'a', claims: { sub: 'x' } }, /is judged by itself/],
    [{ subject: 'a', claims: { x: '' } }, /1 to 500/],
    [
      { subject: 'a', claims: Object.fromEntries(Array.from({ length: 21 }, (_, i) => [`c${i}`, 'x'])) },
      /20 claims/,
    ],
  ]
  for (const [subject, reason] of cases)
    t.match([...subjectProblems([one(subject)])].join(), reason, JSON.stringify(subject))
  const twice = one({ subject: 'a' })
  t.match([...subjectProblems([twice, twice])].join(), /is there twice/)
  t.strictSame([...subjectProblems([twice, { ...twice, client: 'app' }])], [])
  t.match(
    [...subjectProblems(Array.from({ length: 501 }, (_, i) => one({ subject: `s${i}` })))].join(),
    /500/,
  )
  for (const value of [
    {},
    [7],
    [{}],
    [{ client: 'web', subject: 7 }],
    [{ client: 'web', claims: { a: 1 } }],
    [{ client: 'web', Subject: 'x' }],
  ])
    t.equal(readSubjects(value), undefined, JSON.stringify(value))
})

t.test('further claims are texts, numbers or truth values, and may lie within others', async t => {
  const subject = one({
    subject: 'a',
    claims: { id: '7', '/kubernetes.io/serviceaccount/uid': 'u', ok: 'true' },
  })
  const right = { sub: 'a', id: 7, ok: true, 'kubernetes.io': { serviceaccount: { uid: 'u' } } }
  t.strictSame(namedBy([subject], right).named, [{ client: 'web', user: null }])
  const wrong: [claims: object, reason: string][] = [
    [{ id: 8 }, 'its claim id is another than 7'],
    [{ id: ['7'] }, 'its claim id is another than 7'],
    [{ id: null }, 'its claim id is another than 7'],
    [{ id: undefined }, 'its claim id is missing'],
    [{ 'kubernetes.io': 'u' }, 'its claim /kubernetes.io/serviceaccount/uid is missing'],
    [{ sub: 'b' }, 'its sub is none that the issuer is trusted for'],
    [{ sub: 7 }, 'its sub is none that the issuer is trusted for'],
  ]
  for (const [claims, reason] of wrong)
    t.strictSame(namedBy([subject], { ...right, ...claims }), { named: [], reason })
  const inherited = one({ subject: 'a', claims: { constructor: 'x', '/__proto__/x': 'y' } })
  t.match(
    namedBy([inherited], { sub: 'a' }).reason,
    /constructor is missing; its claim \/__proto__\/x is missing/,
  )
  const both = [
    one({ subject: 'a' }),
    one({ subject: 'a', client: 'app' }),
    one({ subject: 'a', claims: { x: '1' } }),
  ]
  t.strictSame(
    namedBy(both, { sub: 'a', x: '1' }).named.map(({ client }) => client),
    ['web', 'app'],
  )
})

t.test('what is no list of subjects is read as none, and what is no claim names nobody', async t => {
  t.ok(readSubjects([{ client: 'web' }]))
  for (const value of [{ client: 5 }, { subject_pattern: 5 }, { claims: 'x' }, { user: 5 }])
    t.equal(readSubjects([{ client: 'web', ...value }]), undefined, JSON.stringify(value))
  t.equal(readSubjects([null]), undefined)
  for (const pointer of ['/a/b', '/b/c', '/constructor/name', '/a/length']) {
    const subject = one({ subject: 's', claims: { [pointer]: '1' } })
    t.match(namedBy([subject], { sub: 's', a: 'x', b: {} }), { named: [], reason: /is missing/ }, pointer)
  }
})
