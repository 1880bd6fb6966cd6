import t from 'tap'
import { OAuthError } from '../../src/errors.ts'
import { parseForm, requireParameter } from '../../src/protocol/form.ts'
import { isResourceUri } from '../../src/protocol/resource.ts'
import { isScopeToken, parseScope } from '../../src/protocol/scope.ts'

t.test('a form is read as RFC 6749 demands', async t => {
  const cases: [title: string, text: string, form: Record<string, string>][] = [
    ['nothing', '', {}],
    ['P-1 a parameter without a value is absent', 'scope=&client_secret=&resource&token=x', { token: 'x' }],
    ['P-2 an unknown parameter is kept, and hurts nobody', 'code=&foo=1&token=x', { foo: '1', token: 'x' }],
    ['P-4 resource may repeat', 'resource=https://a&resource=https://b', { resource: 'https://a https://b' }],
    ['P-4 audience may repeat', 'audience=a&audience=b', { audience: 'a b' }],
    [
      'P-1 P-4 an empty one does not count',
      'resource=&resource=https://a&resource=',
      { resource: 'https://a' },
    ],
    ['P-6 the sample of appendix B', 'a=+%25%26%2B%C2%A3%E2%82%AC', { a: ' %&+£€' }],
    ['P-6 a password with umlaut, space and plus', 'password=p%C3%A4+ss%2B1', { password: 'pä ss+1' }],
    ['P-6 what should have been encoded but is UTF-8', 'password=pä ss', { password: 'pä ss' }],
    ['P-6 a plus is a space', 'password=a+b', { password: 'a b' }],
    ['P-6 names are decoded too', 'gr%61nt_type=password', { grant_type: 'password' }],
    ['P-6 only the first equals sign divides', 'token=a=b==', { token: 'a=b==' }],
    ['P-6 an encoded replacement character is a character', 'a=%EF%BF%BD', { a: '\ufffd' }],
    ['empty pairs do not count', '&&a=1&&b=2&', { a: '1', b: '2' }],
    ['a semicolon divides nothing', 'a=1;b=2', { a: '1;b=2' }],
    ['brackets mean nothing', 'a[]=1&a[0]=2&a[b]=3', { 'a[]': '1', 'a[0]': '2', 'a[b]': '3' }],
    [
      'P-14 names of the prototype are plain names',
      '__proto__=1&constructor=2&hasOwnProperty=3',
      JSON.parse('{"__proto__":"1","constructor":"2","hasOwnProperty":"3"}'),
    ],
    ['1000 parameters', Array.from({ length: 1000 }, (_, i) => `p${i}=`).join('&'), {}],
  ]
  for (const [title, text, form] of cases) {
    t.strictSame([...parseForm(text)], Object.entries(form), title)
  }
})

t.test('a form that cannot be read for sure is refused', async t => {
  const cases: [title: string, text: string, description: RegExp][] = [
    ['P-3 a repeated parameter', 'scope=a&scope=b', /more than once/],
    ['P-3 even with equal values', 'client_id=a&client_id=a', /more than once/],
    ['P-3 even if one is empty', 'client_secret=&client_secret=a', /more than once/],
    ['P-3 even if the other is empty', 'client_secret=a&client_secret', /more than once/],
    ['P-3 even if it is unknown', 'foo=1&foo=2', /more than once/],
    ['P-3 even if it is spelt differently', 'scope=a&sc%6Fpe=b', /more than once/],
    ['P-3 even if it is __proto__', '__proto__=a&__proto__=b', /more than once/],
    ['P-7 a percent sign alone', 'token=%', /percent/],
    ['P-7 a cut percent sequence', 'token=a%2', /percent/],
    ['P-7 a percent sequence that is not hexadecimal', 'token=%zz', /percent/],
    ['P-7 in a name', 'tok%en=1', /percent/],
    ['P-7 encoded bytes that are not UTF-8', 'token=%ff', /percent/],
    ['P-7 Latin-1', 'password=p%E4ss', /percent/],
    ['P-7 an overlong NUL', 'token=%C0%80', /percent/],
    ['P-7 half a surrogate pair', 'token=%ED%A0%80', /percent/],
    ['P-7 raw bytes that are not UTF-8', `token=${Buffer.from([0xff]).toString()}`, /not UTF-8/],
    ['more than 1000 parameters', Array.from({ length: 1001 }, (_, i) => `p${i}=`).join('&'), /too many/],
  ]
  for (const [title, text, description] of cases) {
    t.throws(() => parseForm(text), { code: 'invalid_request', status: 400, message: description }, title)
  }
})

t.test('a required parameter is there, and has no control characters', async t => {
  const form = parseForm(
    'a=1&tab=a%09b&nul=a%00b&newline=a%0Ab&return=a%0Db&delete=a%7Fb&unicode=%E2%80%A8%F0%9F%98%80&empty=',
  )
  t.equal(requireParameter(form, 'a'), '1')
  t.equal(requireParameter(form, 'tab'), 'a\tb', 'P-8 a tab is allowed')
  t.equal(requireParameter(form, 'unicode'), '\u2028😀', 'P-8 and so is all of Unicode else')
  const refused: [title: string, name: string, description: RegExp][] = [
    ['absent', 'b', /the parameter b is missing/],
    ['P-1 empty', 'empty', /the parameter empty is missing/],
    ['P-8 NUL', 'nul', /control/],
    ['P-8 line feed', 'newline', /control/],
    ['P-8 carriage return', 'return', /control/],
    ['P-8 delete', 'delete', /control/],
  ]
  for (const [title, name, description] of refused) {
    t.throws(() => requireParameter(form, name), { code: 'invalid_request', message: description }, title)
  }
})

t.test('P-10 P-11 a scope is a set of tokens', async t => {
  t.strictSame(parseScope('a'), ['a'])
  t.strictSame(parseScope('b a'), ['b', 'a'])
  t.strictSame(parseScope('a A a'), ['a', 'A'], 'P-11 duplicates collapse, case counts')
  t.strictSame(parseScope("!#[]~ https://a/b.read 'x'"), ['!#[]~', 'https://a/b.read', "'x'"])
  for (const scope of [
    '',
    ' ',
    ' a',
    'a ',
    'a  b',
    'a\tb',
    'a\nb',
    '"a"',
    'a\\b',
    'ä',
    'a\0',
    'a\u00a0b',
    'a\x7f',
  ]) {
    t.throws(() => parseScope(scope), { code: 'invalid_scope', status: 400 }, JSON.stringify(scope))
  }
  t.ok(isScopeToken('read'))
  t.notOk(isScopeToken('read write'))
})

t.test('RI-1 a resource is an absolute URI without a fragment', async t => {
  for (const uri of [
    'https://api.example',
    'https://api.example/a?b=%20c',
    'http://[::1]:8080/',
    'urn:example:api',
    'app://x',
  ]) {
    t.ok(isResourceUri(uri), uri)
  }
  for (const uri of [
    '',
    'api',
    '/api',
    '//api.example',
    'api.example/x',
    'https:',
    'https://',
    'https:///x',
    'https:api.example',
    'https://api.example/#',
    'https://api.example/#x',
    'https://a b',
    ' https://a',
    'https://a\n',
    'https://ä.example',
    'https://a/%',
    'https://a/%zz',
    'https://a:b',
    'https://a/"',
    'https://a/\\',
    '1a:b',
    `https://a/${'x'.repeat(1024)}`,
  ]) {
    t.notOk(isResourceUri(uri), JSON.stringify(uri))
  }
})

t.test('T-6 what is said of a refusal never echoes the request', async t => {
  try {
    requireParameter(new Map(), 'token')
  } catch (error) {
    t.ok(error instanceof OAuthError)
    t.strictSame(JSON.parse(JSON.stringify(error)), {
      error: 'invalid_request',
      error_description: 'the parameter token is missing',
    })
  }
})
