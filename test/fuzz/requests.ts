import fc from 'fast-check'
import { canary, json, jwt, type Loot } from './tokens.ts'

/** Stands in everything made up that would be a secret: it must not be in the log either. */
export const secretCanary = 'zqxsecret'

const paths = [
  '/token',
  '/introspect',
  '/revoke',
  '/global-token-revocation',
  '/.well-known/jwks.json',
  '/.well-known/oauth-authorization-server',
  '/.well-known/openid-configuration',
  '/status-lists',
  '/status-lists/0',
  '/health/live',
  '/health/ready',
  '/metrics',
  '/',
]

const names = [
  ...['grant_type', 'client_id', 'client_secret', 'username', 'password', 'refresh_token', 'scope'],
  ...['resource', 'token', 'token_type_hint', 'device_token', 'client_assertion', 'client_assertion_type'],
]

/** Names and numbers on which programs have broken before. */
const oddTexts = [
  ...['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'then', 'toJSON', '$where'],
  ...['0', '-0', '-1', '00', '1e309', 'NaN', 'Infinity', '4294967295', '4294967296', '9007199254740993'],
  ...['2147483648', '-9223372036854775809', '٣', '0x10', '1_0', 'null', 'undefined', 'true', '[]', '{}'],
  ...[
    '\u0000',
    '\ud800',
    '\ufeff',
    '\u202e',
    '\u2028',
    'ﬀ',
    'İ',
    'ß',
    'a\u0301',
    '👩‍👩‍👧',
    '\r\nset-cookie: a=b',
  ],
  ...['../../etc/passwd', "' or 1=1 --", '%00', '%', '%zz', '%c3%28', '%ed%a0%80', '${7*7}', '\\', '"'],
  'x'.repeat(5000),
]

/** A text that is made up, or one of the loot, or that with a little damage. */
function text(loot: Loot, mark: string): fc.Arbitrary<string> {
  const { clientId, clientSecret, username, accessToken, refreshToken } = loot
  const known = fc.constantFrom(clientId, clientSecret, username, accessToken, refreshToken)
  return fc.oneof(
    { weight: 3, arbitrary: fc.string({ maxLength: 30 }).map(made => made + mark) },
    { weight: 2, arbitrary: fc.string({ unit: 'binary', maxLength: 60 }).map(made => made + mark) },
    { weight: 2, arbitrary: fc.constantFrom(...oddTexts).map(odd => odd + mark) },
    { weight: 1, arbitrary: fc.constantFrom(...oddTexts) },
    { weight: 2, arbitrary: known },
    { weight: 2, arbitrary: fc.tuple(known, fc.nat(), fc.constantFrom('', 'A', '~', '=', ' ')).map(damage) },
  )
}

/** Replaces one character, or cuts the rest off. */
function damage([known, at, by]: [string, number, string]): string {
  const place = at % known.length
  return by === '' ? known.slice(0, place) : known.slice(0, place) + by + known.slice(place + 1)
}

/** Neither the alphabet nor the percent sequences need be right. */
const encoders: ((text: string) => string)[] = [
  encodeURIComponentOfAnything,
  encodeURIComponentOfAnything,
  encodeURIComponentOfAnything,
  text => text.replaceAll(' ', '+'),
  text => Buffer.from(text).toString('latin1'),
  text => Array.from(Buffer.from(text), byte => `%${byte.toString(16)}`).join(''),
]

function encodeURIComponentOfAnything(text: string): string {
  return encodeURIComponent(text.toWellFormed())
}

const isSecretName = (name: string) => /password|secret|token$|assertion$/.test(name)

function form(loot: Loot): fc.Arbitrary<string> {
  const pair = fc
    .oneof({ weight: 5, arbitrary: fc.constantFrom(...names) }, { weight: 1, arbitrary: text(loot, canary) })
    .chain(name =>
      fc.record({
        name: fc.constant(name),
        value: fc.oneof(
          { weight: 3, arbitrary: text(loot, isSecretName(name) ? secretCanary : canary) },
          { weight: 1, arbitrary: jwt(loot) },
        ),
        encode: fc.constantFrom(...encoders),
      }),
    )
    .map(({ name, value, encode }) => `${encode(name)}=${encode(value)}`)
  const grant = fc.constantFrom(
    '',
    `client_id=${loot.clientId}&client_secret=${loot.clientSecret}`,
    'grant_type=refresh_token',
    `grant_type=refresh_token&client_id=${loot.clientId}&client_secret=${loot.clientSecret}`,
    `grant_type=client_credentials&client_id=${loot.clientId}&client_secret=${loot.clientSecret}`,
  )
  const separator = fc.constantFrom('&', '&', '&', '&', ';', '&&', '=&', '&=&', '[]=&')
  return fc
    .tuple(grant, fc.array(pair, { maxLength: 6 }), separator)
    .map(([start, pairs, by]) => [start, ...pairs].filter(part => part !== '').join(by))
}

function authorization(loot: Loot): fc.Arbitrary<string> {
  const id = text(loot, canary)
  const secret = text(loot, secretCanary)
  const basic = fc
    .tuple(id, fc.constantFrom(':', '', '::', '%3a'), secret, fc.constantFrom(...encoders))
    .map(([user, colon, word, encode]) =>
      Buffer.from(`${encode(user)}${colon}${encode(word)}`).toString('base64'),
    )
  const real = Buffer.from(`${loot.clientId}:${loot.clientSecret}`).toString('base64')
  return fc.oneof(
    fc.tuple(fc.constantFrom('Basic', 'basic', 'BASIC ', 'Basic\t'), basic).map(parts => parts.join(' ')),
    fc.constant(`Basic ${real}`),
    fc.tuple(fc.constantFrom('Bearer', 'DPoP', 'bearer'), jwt(loot)).map(parts => parts.join(' ')),
    fc.constantFrom(`Bearer ${loot.accessToken}`, 'Basic', 'Bearer', 'Basic !!!', 'Digest a=b', ''),
  )
}

/** Header values go over the wire as they are: no line ends in them, but for those that are meant. */
const oneLine = (value: string) =>
  Buffer.from(value)
    .toString('latin1')
    .replace(/[\r\n\0]/g, '')

function headers(loot: Loot): fc.Arbitrary<string[]> {
  const header = fc.oneof(
    { weight: 4, arbitrary: authorization(loot).map(value => `authorization: ${oneLine(value)}`) },
    { weight: 1, arbitrary: jwt(loot).map(value => `dpop: ${value}`) },
    {
      weight: 3,
      arbitrary: fc
        .tuple(
          fc.constantFrom(
            ...[
              'accept',
              'accept-encoding',
              'origin',
              'if-none-match',
              'content-encoding',
              'expect',
              'cookie',
            ],
            ...[
              'forwarded',
              'x-forwarded-for',
              'x-forwarded-host',
              'x-request-id',
              'host',
              'range',
              'upgrade',
            ],
            ...[
              'access-control-request-method',
              'transfer-encoding',
              'content-length',
              'client-cert',
              '__proto__',
            ],
          ),
          text(loot, canary),
        )
        .map(([name, value]) => `${name}: ${oneLine(value)}`),
    },
    {
      weight: 1,
      arbitrary: fc.constantFrom('accept: application/token-introspection+jwt', 'x', ': y', 'a\tb: c'),
    },
  )
  return fc.array(header, { maxLength: 4 })
}

const contentTypes = [
  ...Array.from({ length: 12 }, () => 'application/x-www-form-urlencoded'),
  'application/x-www-form-urlencoded; charset=utf-16',
  'application/json',
  'application/json',
  'multipart/form-data; boundary=x',
  'text/plain',
  ';',
  '',
]

/** One connection's bytes: mostly a request that is nearly right, sometimes anything. */
export function requests(loot: Loot): fc.Arbitrary<Buffer> {
  const subject = json({
    sub_id: [
      { format: 'iss_sub', iss: canary, sub: canary },
      { format: 'opaque', id: canary },
      { format: canary },
      { format: '__proto__' },
    ],
    [canary]: [1],
  })
  const body = fc.oneof(
    { weight: 8, arbitrary: form(loot) },
    { weight: 2, arbitrary: subject },
    { weight: 1, arbitrary: fc.constantFrom('', 'a='.repeat(9000), '&'.repeat(2000), 'a=1&a=1') },
  )
  const tail = fc.oneof(
    { weight: 6, arbitrary: fc.constant('') },
    {
      weight: 2,
      arbitrary: fc.constantFrom(
        ...['/', '/x', '?a=b', '?token=a', '?time=1', '%00', '%zz', '/%2e%2e/', '//', '#x', '/-1', '/1e3'],
        ...[
          '?__proto__=1',
          '?a[]=1',
          '/99999999999999999999',
          ';a=b',
          '?%',
          '?constructor',
          `?${'a'.repeat(9000)}`,
        ],
      ),
    },
    {
      weight: 1,
      arbitrary: text(loot, canary).map(value => `/${oneLine(encodeURIComponentOfAnything(value))}`),
    },
  )
  const framing = fc.constantFrom<(length: number) => string[]>(
    ...Array.from({ length: 20 }, () => (length: number) => [`content-length: ${length}`]),
    () => [],
    length => [`content-length: ${length + 5}`],
    length => [`content-length: ${Math.max(0, length - 1)}`],
    length => [`content-length: ${length}`, 'transfer-encoding: chunked'],
    () => ['transfer-encoding: chunked'],
    () => ['content-length: -1'],
    () => ['content-length: 99999999999999999999'],
  )
  const wellFormed = fc
    .record({
      method: fc.constantFrom(
        'POST',
        'POST',
        'POST',
        'POST',
        'GET',
        'OPTIONS',
        'HEAD',
        'PUT',
        'TRACE',
        'QUERY',
        'x',
      ),
      path: fc.constantFrom(...paths, ...paths.slice(0, 4)),
      tail,
      version: fc.constantFrom('1.1', '1.1', '1.1', '1.1', '1.1', '1.0', '2.0', '9.9', '1.1 x'),
      type: fc.constantFrom(...contentTypes),
      more: headers(loot),
      framing,
      body,
    })
    .map(({ method, path, tail: end, version, type, more, framing: frame, body: sent }) => {
      const bytes = Buffer.from(sent)
      const lines = [
        `${method} ${path}${end} HTTP/${version}`,
        'host: fuzz',
        'connection: close',
        ...(type === '' ? [] : [`content-type: ${type}`]),
        ...more,
        ...frame(bytes.length),
      ]
      return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), bytes])
    })
  return fc.oneof(
    { weight: 20, arbitrary: wellFormed },
    {
      weight: 1,
      // Cut off, or with one byte that is another.
      arbitrary: fc
        .tuple(wellFormed, fc.nat(), fc.nat({ max: 255 }), fc.boolean())
        .map(([bytes, at, by, cuts]) => {
          const place = at % bytes.length
          if (cuts) return bytes.subarray(0, place)
          const changed = Buffer.from(bytes)
          changed[place] = by
          return changed
        }),
    },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 300 }).map(bytes => Buffer.from(bytes)) },
  )
}
