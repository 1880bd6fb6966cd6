import { Ajv2020 } from 'ajv/dist/2020.js'
import fc from 'fast-check'
import t from 'tap'
import {
  narrowDetails,
  readAskedDetails,
  type AuthorizationDetail,
} from '../../src/protocol/authorization-details.ts'
import { fits, schemaProblem } from '../../src/protocol/detail-schema.ts'
import { detailTypesProblem, inLanguage, readDetailTypes } from '../../src/protocol/detail-types.ts'
import { canonicalJson, readStrictJson } from '../../src/values/strict-json.ts'
import { account, bank, bankTypes, pay } from '../helpers/authorization-details.ts'

const resource = { uri: bank, authorization_details_types: JSON.stringify(bankTypes) }
const client = { authorization_details_types: 'payment account' }

t.test('RA-3 JSON that two readers could read in two ways is refused', async t => {
  for (const text of [
    ...['', '{', '[1,]', 'undefined', '\ufeff{}', "{'a':1}", 'NaN', '01', '{"a":1}{}'],
    ...['{"a":1,"a":2}', '{"a":1,"\\u0061":2}', '[{"b":{"a":1,"a":1}}]', '{"a":1,"b":{},"a":[{"c":1}]}'],
    ...['9007199254740993', '-9007199254740993', '0.1234567890123456789', '1e400', '-1e400', '1e-400'],
    ...['12345678901234567890', '1234567890123456.5'],
    ...['"\\ud800"', '"\\udc00\\ud800"', '{"\\ud800":1}', '"\\u0000"', '{"a\\u0000":1}', '["a\\u0000b"]'],
    ...['{"__proto__":1}', '[{"a":{"__proto__":{"b":1}}}]', '{"\\u005f_proto__":null}'],
    ...[
      '[[[[[[[[[]]]]]]]]]',
      `${'['.repeat(10_000)}${']'.repeat(10_000)}`,
      '{"a":'.repeat(9) + '1' + '}'.repeat(9),
    ],
  ])
    t.equal(readStrictJson(text, 8), undefined, text.slice(0, 60))
  for (const [text, value] of [
    ['null', null],
    [
      ' [1.50, 1e2, -0.0, 9007199254740991, 100000000000000000000, 0.000000000000001] ',
      [1.5, 100, -0, 9007199254740991, 1e20, 1e-15],
    ],
    ['{"a:":"{[:\\"","b":"\\\\","c":[{"a:":"\\u0001"}]}', { 'a:': '{[:"', b: '\\', c: [{ 'a:': '\u0001' }] }],
    ['"\\ud83c\\udf4e"', '\u{1f34e}'],
    ['{"constructor":1,"toString":2}', { constructor: 1, toString: 2 }],
    ['[[[[[[[[]]]]]]]]', [[[[[[[[]]]]]]]]],
  ] as readonly [string, unknown][])
    t.strictSame(readStrictJson(text, 8), value, text)
  const json = fc.json({ maxDepth: 4 })
  fc.assert(
    fc.property(json, text => {
      const read = readStrictJson(text, 8)
      return read === undefined || canonicalJson(read) === canonicalJson(JSON.parse(text))
    }),
  )
})

/** Schemas of the part that there is, and values of which some fit. */
const { schema: schemas, value: values } = fc.letrec<{ schema: object; value: unknown }>(tie => {
  const typeNames = ['object', 'array', 'string', 'number', 'integer', 'boolean', 'null'] as const
  const names = fc.constantFrom('a', 'b', 'c')
  const keyword = fc.oneof(
    { depthSize: 'small' },
    fc.record({ type: fc.constantFrom(...typeNames) }),
    fc.record({ type: fc.uniqueArray(fc.constantFrom(...typeNames), { minLength: 1 }) }),
    fc.record({ enum: fc.array(tie('value'), { minLength: 1, maxLength: 3 }) }),
    fc.record({ const: tie('value') }),
    fc.record({ required: fc.uniqueArray(fc.constantFrom('a', 'b', 'toString'), { maxLength: 2 }) }),
    fc.record({ additionalProperties: fc.boolean() }),
    fc.record({ uniqueItems: fc.boolean() }),
    fc.record({ minItems: fc.nat(2) }),
    fc.record({ maxItems: fc.nat(3) }),
    fc.record({ minLength: fc.nat(2) }),
    fc.record({ maxLength: fc.nat(3) }),
    fc.record({ minimum: fc.integer({ min: -2, max: 2 }) }),
    fc.record({ exclusiveMaximum: fc.integer({ min: -2, max: 3 }) }),
    fc.record({ properties: fc.dictionary(names, tie('schema'), { maxKeys: 2 }) }),
    fc.record({ additionalProperties: tie('schema') }),
    fc.record({ items: tie('schema') }),
  )
  return {
    schema: fc.array(keyword, { maxLength: 3 }).map(some => Object.assign({}, ...some)),
    value: fc.oneof(
      { depthSize: 'small' },
      fc.constantFrom<unknown>('', 'a', '\u{1f34e}\u{1f34e}', 0, 1, 1.5, -3, true, null, []),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(names, tie('value'), { maxKeys: 3 }),
    ),
  }
})

/** With the prototypes that parsed JSON has. */
const asJson = <Value>(some: fc.Arbitrary<Value>) =>
  some.map(value => JSON.parse(JSON.stringify(value)) as Value)

t.test('RA-4 a value fits a schema here where it does for ajv', async t => {
  const ajv = new Ajv2020({ strict: false, validateSchema: false, ownProperties: true })
  let [fitting, others] = [0, 0]
  fc.assert(
    fc.property(
      asJson(schemas),
      asJson(fc.array(values, { minLength: 4, maxLength: 8 })),
      (schema, tried) => {
        if (schemaProblem(schema, 'schema')?.includes('nested')) return
        const validate = ajv.compile(schema)
        for (const value of tried) {
          const isFitting = fits(schema, value)
          if (isFitting !== validate(value)) throw new Error(JSON.stringify([schema, value, isFitting]))
          if (isFitting) fitting++
          else others++
        }
      },
    ),
    { numRuns: 200 },
  )
  t.ok(fitting > 100 && others > 100, `${fitting} fit, ${others} do not`)
})

t.test('RA-2 what cannot be checked in bounded time, or would count for nothing, is no schema', async t => {
  const problem = (schema: unknown) => schemaProblem(schema, 'schema')
  t.equal(problem({ type: 'object' }), undefined)
  t.equal(problem(bankTypes['payment']?.schema), undefined)
  for (const [schema, told] of [
    [null, 'schema takes an object'],
    [true, 'schema takes an object'],
    [{}, 'schema.type must be object'],
    [{ type: 'string' }, 'schema.type must be object'],
    [{ type: ['object'] }, 'schema.type must be object'],
    [{ type: 'object', pattern: '(a+)+$' }, 'schema has "pattern", and takes type,'],
    [{ type: 'object', $ref: 'https://evil.example' }, 'schema has "$ref"'],
    [{ type: 'object', properties: { a: { $ref: '#' } } }, 'schema.properties.a has "$ref"'],
    [{ type: 'object', patternProperties: {} }, 'schema has "patternProperties"'],
    [{ type: 'object', constructor: 1 }, 'schema has "constructor"'],
    [JSON.parse('{"type":"object","__proto__":{}}'), 'schema has "__proto__"'],
    [{ type: 'object', properties: [] }, 'schema.properties takes an object of schemas'],
    [{ type: 'object', properties: { a: true } }, 'schema.properties.a takes an object'],
    [{ type: 'object', required: 'a' }, 'schema.required takes a list of names'],
    [
      { type: 'object', properties: { a: { type: 'date' } } },
      'schema.properties.a.type takes one or some of',
    ],
    [{ type: 'object', properties: { a: { enum: [] } } }, 'schema.properties.a.enum takes a list'],
    [{ type: 'object', properties: { a: { maxLength: -1 } } }, 'schema.properties.a.maxLength takes a count'],
    [{ type: 'object', properties: { a: { minimum: '1' } } }, 'schema.properties.a.minimum takes a number'],
    [{ type: 'object', properties: { a: { items: [] } } }, 'schema.properties.a.items takes a schema'],
    [
      { type: 'object', additionalProperties: 1 },
      'schema.additionalProperties takes true, false or a schema',
    ],
    [{ type: 'object', title: 1 }, 'schema.title takes a text'],
  ] as const)
    t.ok(problem(schema)?.startsWith(told), `${told} … ${problem(schema)}`)
  let deep: object = { type: 'object' }
  for (let i = 0; i < 5000; i++) deep = { type: 'object', properties: { a: deep } }
  t.match(problem(deep), /nested deeper than 8/)
})

t.test('RA-2 the longest details cost little, even with the longest schemas', async t => {
  const names = Array.from({ length: 2000 }, (_, i) => `n${i}`)
  const enums = { type: 'object', properties: { a: { type: 'array', items: { enum: names } } } }
  const members = Object.fromEntries(names.slice(0, 900).map(name => [name, {}]))
  const objects = { type: 'object', properties: { a: { type: 'array', items: { properties: members } } } }
  for (const [title, schema, item] of [
    ['a list of the last of many values', enums, names.at(-1)],
    ['a list of objects that may have many members', objects, {}],
  ] as const) {
    t.ok(JSON.stringify(schema).length < 16_384, title)
    const value = { a: Array.from({ length: 3000 / (JSON.stringify(item).length + 1) }, () => item) }
    const { user } = process.cpuUsage()
    t.equal(fits(schema, value), true)
    t.ok(process.cpuUsage({ user, system: 0 }).user < 80_000, `${title}: microseconds of CPU`)
  }
})

t.test('RA-2 types have words, bounds and names', async t => {
  t.equal(detailTypesProblem(bankTypes), undefined)
  t.equal(detailTypesProblem({}), undefined)
  const of = (type: unknown, name = 'a') => detailTypesProblem({ [name]: type })
  const [title, schema] = [{ en: 'A' }, { type: 'object' }]
  t.equal(of({ title, schema }, 'https://bank.example/payment'), undefined)
  for (const name of ['', 'a b', 'a"', 'ä', 'a\\', 'a\0', 'x'.repeat(129)])
    t.match(of({ title, schema }, name), /A type is up to 128/, JSON.stringify(name))
  t.match(detailTypesProblem(JSON.parse('{"__proto__":{}}')), /A type is up to 128/)
  for (const odd of [
    'A',
    {},
    { en: '' },
    { en: 'a\u202eb' },
    { en: 'x'.repeat(201) },
    { '<b>': 'A' },
    { en: 1 },
    [],
  ])
    t.match(
      of({ title: odd, schema }),
      /^authorization_details_types\.a\.title takes texts/,
      JSON.stringify(odd),
    )
  t.match(of({ title, schema, labels: { to: 'To' } }), /labels\["to"\] takes texts/)
  t.match(of({ title, schema, labels: [] }), /labels takes an object/)
  t.match(of({ title }), /a\.schema takes an object/)
  t.match(of({ title, schema, sentence: '' }), /has "sentence"/)
  for (const odd of [null, [], 'a', 1]) t.match(of(odd), /takes an object/)
  const many = Array.from({ length: 21 }, (_, i) => [`t${i}`, { title, schema }])
  t.match(detailTypesProblem(Object.fromEntries(many)), /21 types, and takes 20/)
  t.match(of({ title, schema: { ...schema, enum: ['x'.repeat(17_000)] } }), /16384 bytes/)
  t.strictSame(readDetailTypes('{'), {}, 'a damaged row has none')
  t.strictSame(readDetailTypes('{"a":1}'), {})
  t.equal(inLanguage({ de: 'Zahlen', en: 'Pay' }, 'de'), 'Zahlen')
  t.equal(inLanguage({ de: 'Zahlen', en: 'Pay' }, 'fr'), 'Pay')
  t.equal(inLanguage({ de: 'Zahlen' }, 'toString'), 'Zahlen')
})

t.test('RA-2 RA-3 RA-4 RA-5 what a request may ask for', async t => {
  const other = {
    uri: 'https://other.example',
    authorization_details_types: JSON.stringify({ account: bankTypes['account'] }),
  }
  const read = (details: unknown, more: Record<string, string> = {}, resources = [resource]) =>
    readAskedDetails(
      new Map(
        Object.entries({
          authorization_details: typeof details === 'string' ? details : JSON.stringify(details),
          ...more,
        }),
      ),
      { client, resources },
    )
  const good = read([pay('Ada'), account({ locations: [bank] })])
  t.strictSame(good.details, [pay('Ada'), account({ locations: [bank] })])
  t.equal(good.form.get('resource'), bank)
  t.equal(good.form.get('scope'), '', 'no scope that nobody has asked for')
  t.equal(read([account()], { scope: 'read' }).form.get('scope'), 'read')
  t.strictSame(readAskedDetails(new Map([['scope', 'read']]), { client, resources: [resource] }).details, [])
  t.strictSame(
    read([account({ locations: [`${bank}/`] })]).details.length,
    1,
    'one address, in two spellings',
  )
  const both = [resource, other]
  t.equal(read([account()], { resource: other.uri }, both).form.get('resource'), other.uri)
  t.equal(read([account({ locations: [other.uri] })], {}, both).form.get('resource'), other.uri)
  t.equal(read([account(), pay('Ada')], {}, both).form.get('resource'), bank, 'the one that knows both types')

  const refused = (description: RegExp, ...args: Parameters<typeof read>) => {
    const { refusal, details } = read(...args)
    t.equal(refusal?.error, 'invalid_authorization_details', String(description))
    t.match(refusal?.description, description)
    t.strictSame(details, [])
  }
  const malformed = /are not a JSON array of 1 to 20 different objects/
  for (const odd of [
    '{',
    '{}',
    '[]',
    '[1]',
    '[{}]',
    'null',
    '[{"type":1}]',
    '[[]]',
    '[{"type":"account","type":"payment"}]',
  ])
    refused(malformed, odd)
  refused(malformed, [account(), account()])
  refused(malformed, '[{"type":"account","a":1,"b":2},{"b":2,"a":1,"type":"account"}]')
  for (const locations of [bank, [], [1], {}, null]) refused(malformed, [account({ locations })])
  refused(
    malformed,
    Array.from({ length: 21 }, (_, i) => account({ i })),
  )
  refused(malformed, [account({ text: 'x'.repeat(3000) })])
  refused(malformed, `[${' '.repeat(3000)}{"type":"account"}]`)
  refused(malformed, `[{"type":"account","a":[${Array.from({ length: 300 }, (_, i) => `${i + 1}e17`)}]}]`)
  refused(malformed, `[{"type":"account","a":${'['.repeat(7)}${']'.repeat(7)}}]`)
  const unknown = /unknown, or not one that this client may ask for/
  for (const type of [
    'other',
    'Payment',
    '',
    'payment account',
    '__proto__',
    'toString',
    '<b>',
    'account\u202e',
  ])
    refused(unknown, [account(), { type }])
  const nowhere = /no resource of this client knows all types/
  refused(nowhere, [pay('Ada')], { resource: other.uri }, both)
  refused(nowhere, [account()], { resource: 'https://unknown.example' }, both)
  refused(nowhere, [account({ locations: ['https://unknown.example'] })])
  refused(nowhere, [account({ locations: [bank, other.uri] })], {}, both)
  refused(nowhere, [account({ locations: [other.uri] }), account({ locations: [bank] })], {}, both)
  refused(nowhere, [account()], {}, [])
  refused(/name the resource/, [account()], {}, both)
  const schema = /is not as the schema of its type says/
  refused(schema, [pay('Ada', { amount: { value: '1', currency: 'XXX' } })])
  refused(schema, [pay('Ada', { amount: { value: 1, currency: 'EUR' } })])
  refused(schema, [account(), { type: 'payment' }])
  const strict = { account: { title: { en: 'A' }, schema: { type: 'object', additionalProperties: false } } }
  const strictly = [{ uri: bank, authorization_details_types: JSON.stringify(strict) }]
  refused(schema, [account({ a: 1 })], {}, strictly)
  t.equal(
    read([account({ locations: [bank] })], {}, strictly).details.length,
    1,
    'type and locations need no row',
  )
})

/** Details that differ a little. */
const someDetails = fc.uniqueArray(
  fc.record(
    {
      type: fc.constantFrom('account', 'payment'),
      a: fc.nat(2),
      b: fc.constantFrom<unknown>('x', [1], { c: null }),
    },
    { requiredKeys: ['type'] },
  ),
  { maxLength: 6, selector: canonicalJson },
)

t.test('RA-9 whatever a refresh asks for, it gets nothing that was not granted', async t => {
  const loose = { title: { en: 'A' }, schema: { type: 'object' } }
  const types = { account: loose, payment: loose }
  const open = { uri: bank, authorization_details_types: JSON.stringify(types) }
  const shuffled = (detail: object) => Object.fromEntries(Object.entries(detail).reverse())
  let given = 0
  fc.assert(
    fc.property(
      someDetails.chain(granted =>
        fc.tuple(fc.constant(granted), fc.oneof(someDetails, fc.shuffledSubarray(granted))),
      ),
      fc.constantFrom('payment account', 'account', ''),
      ([granted, asked], known) => {
        const facts = {
          client: { authorization_details_types: known },
          resource: open,
          granted: granted as AuthorizationDetail[],
        }
        const available = granted.filter(({ type }) => known.split(' ').includes(type)).map(canonicalJson)
        const all = narrowDetails(new Map(), facts)
        if (canonicalJson(all?.map(canonicalJson)) !== canonicalJson(available)) throw new Error('all of it')
        const form = new Map([['authorization_details', JSON.stringify(asked.map(shuffled))]])
        const narrowed = narrowDetails(form, facts)
        const isWithin = asked.every(detail => available.includes(canonicalJson(detail)))
        if (isWithin !== (narrowed !== undefined)) throw new Error('refused where it is more')
        if (narrowed?.some(detail => !available.includes(canonicalJson(detail)))) throw new Error('more')
        if (narrowed && narrowed.length > 0) given++
      },
    ),
    { numRuns: 500 },
  )
  t.ok(given > 20, `${given} times something was given`)
})
