import fc from 'fast-check'
import { form, rightForm } from './forms.ts'
import { canary, encodeURIComponentOfAnything, encoders, secretCanary, text, type Loot } from './loot.ts'
import { json, jwt } from './tokens.ts'

const paths = [
  '/token',
  '/par',
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

const oddMethods = ['GET', 'OPTIONS', 'HEAD', 'PUT', 'TRACE', 'QUERY', 'x']

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
      method: fc.constantFrom('POST', 'POST', 'POST', ...oddMethods),
      path: fc.constantFrom(...paths, ...paths.slice(0, 5)),
      tail,
      version: fc.constantFrom('1.1', '1.1', '1.1', '1.1', '1.1', '1.0', '2.0', '9.9', '1.1 x'),
      type: fc.constantFrom(...contentTypes),
      more: headers(loot),
      framing,
      body,
    })
    .map(bytesOf)
  const basic = `Basic ${Buffer.from(`${loot.clientId}:${loot.clientSecret}`).toString('base64')}`
  /** All right but for what is in the body: these come to where the work is done. */
  const deep = fc.oneof(
    {
      weight: 4,
      arbitrary: fc
        .record({ path: fc.constantFrom('/token', '/par', '/introspect', '/revoke'), body: rightForm(loot) })
        .map(made => bytesOf({ ...made, type: contentTypes[0] ?? '', more: [`authorization: ${basic}`] })),
    },
    {
      weight: 1,
      arbitrary: subject.map(made =>
        bytesOf({
          path: '/global-token-revocation',
          body: made,
          type: 'application/json',
          more: [`authorization: Bearer ${loot.adminToken}`],
        }),
      ),
    },
  )
  return fc.oneof(
    { weight: 14, arbitrary: wellFormed },
    { weight: 8, arbitrary: deep },
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

interface Parts {
  readonly path: string
  readonly body: string
  readonly type: string
  readonly more: readonly string[]
  readonly method?: string
  readonly tail?: string
  readonly version?: string
  /** The headers that say how long the body is. */
  readonly framing?: (length: number) => string[]
}

function bytesOf({
  method = 'POST',
  path,
  tail = '',
  version = '1.1',
  type,
  more,
  framing,
  body,
}: Parts): Buffer {
  const bytes = Buffer.from(body)
  const lines = [
    `${method} ${path}${tail} HTTP/${version}`,
    'host: fuzz',
    'connection: close',
    ...(type === '' ? [] : [`content-type: ${type}`]),
    ...more,
    ...(framing?.(bytes.length) ?? [`content-length: ${bytes.length}`]),
  ]
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), bytes])
}
