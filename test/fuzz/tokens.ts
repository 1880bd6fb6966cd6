import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import { canary, type Loot } from './loot.ts'

/** JSON of which some members come twice, with values of any type. */
export function json(members: Readonly<Record<string, readonly unknown[]>>): fc.Arbitrary<string> {
  const member = fc
    .constantFrom(...Object.keys(members))
    .chain(name =>
      fc
        .oneof(fc.constantFrom(...(members[name] ?? [])), fc.jsonValue({ maxDepth: 2 }))
        .map(value => `${JSON.stringify(name)}:${JSON.stringify(value) ?? 'null'}`),
    )
  return fc.oneof(
    { weight: 6, arbitrary: fc.array(member, { maxLength: 6 }).map(list => `{${list.join(',')}}`) },
    { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 3 }).map(value => JSON.stringify(value)) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        '',
        '{',
        '{"a":',
        '[1,',
        `${'['.repeat(3000)}`,
        '{"__proto__":{"a":1}}',
        'nul',
      ),
    },
  )
}

/** Every JWT that was ever taken for a good one, and more. */
export function jwt(loot: Loot): fc.Arbitrary<string> {
  const [realHeader = '', realClaims = '', realSignature = ''] = loot.accessToken.split('.')
  const { kid } = JSON.parse(Buffer.from(realHeader, 'base64url').toString())
  const issuerClaims = JSON.parse(Buffer.from(realClaims, 'base64url').toString())
  const header = json({
    alg: ['none', 'None', 'HS256', 'ES256', 'RS256', 'ES256K', '', null, 256],
    typ: ['at+jwt', 'JWT', 'dpop+jwt', 'statuslist+jwt', 'AT+JWT', null],
    kid: [kid, `${canary}`, '../../dev/null', "' or 1=1", null, 0, [kid]],
    crit: [['exp'], [], ['b64'], 'exp'],
    b64: [false],
    jku: [`http://127.0.0.1:1/${canary}`],
    x5u: [`http://127.0.0.1:1/${canary}`],
    jwk: [JSON.parse(loot.jwks).keys?.[0], { kty: 'oct', k: 'AAAA' }],
    zip: ['DEF'],
  })
  const times = [-1, 0, 1, 2 ** 31, 2 ** 53, 1e300, '0', null, 4_000_000_000]
  const claims = json({
    ...Object.fromEntries(Object.entries(issuerClaims).map(([name, value]) => [name, [value]])),
    exp: times,
    iat: times,
    nbf: times,
    aud: [issuerClaims.aud, [issuerClaims.aud], canary, [], 0],
    sid: [issuerClaims.sid, canary, '', 0, null],
    jti: [canary, '', 'x'.repeat(4000)],
    htm: ['POST', 'post'],
    htu: [canary],
    status: [{ status_list: { idx: -1, uri: canary } }],
  })
  const encoded = (part: string) => Buffer.from(part).toString('base64url')
  const part = (made: fc.Arbitrary<string>, real: string) =>
    fc.oneof({ weight: 3, arbitrary: made.map(encoded) }, { weight: 1, arbitrary: fc.constant(real) })
  const sign = fc.constantFrom<(input: string) => string>(
    () => '',
    () => realSignature,
    () => 'A'.repeat(86),
    () => '!',
    // The public key as the secret of a MAC.
    input => createHmac('sha256', loot.jwks).update(input).digest('base64url'),
  )
  return fc.oneof(
    {
      weight: 6,
      arbitrary: fc
        .tuple(part(header, realHeader), part(claims, realClaims), sign)
        .map(([head, body, signature]) => `${head}.${body}.${signature(`${head}.${body}`)}`),
    },
    { weight: 1, arbitrary: fc.constantFrom('..', '.', 'a.b.c', 'a.b.c.d.e', `${'a'.repeat(9000)}.b.c`) },
  )
}
