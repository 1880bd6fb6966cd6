import fc from 'fast-check'
import { sealRefreshToken } from '../../src/protocol/refresh-token.ts'
import { anyCharacter } from '../helpers/any-character.ts'
import { bytesOf, written } from '../helpers/refresh-tokens.ts'

/** The possible booty of an attacker. All of it is genuine, and none of it may do more than it should. */
export interface Loot {
  readonly clientId: string
  readonly clientSecret: string
  readonly username: string
  readonly accessToken: string
  readonly refreshToken: string
  /** An access token of an administrator, who means no harm: only what is sent with it is odd. */
  readonly adminToken: string
  /** The JWKS, as it was served. */
  readonly jwks: string
}

/** Stands in everything that is made up: an answer that holds it has echoed its request. */
export const canary = 'zqxcanary'

/** Stands in everything made up that would be a secret: it must not be in the log either. */
export const secretCanary = 'zqxsecret'

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
export function text(loot: Loot, mark: string): fc.Arbitrary<string> {
  const { clientId, clientSecret, username, accessToken, refreshToken } = loot
  const known = fc.constantFrom(clientId, clientSecret, username, accessToken, refreshToken)
  return fc.oneof(
    { weight: 3, arbitrary: fc.string({ maxLength: 30 }).map(made => made + mark) },
    { weight: 2, arbitrary: fc.string({ unit: anyCharacter, maxLength: 60 }).map(made => made + mark) },
    { weight: 2, arbitrary: fc.constantFrom(...oddTexts).map(odd => odd + mark) },
    { weight: 1, arbitrary: fc.constantFrom(...oddTexts) },
    { weight: 2, arbitrary: known },
    { weight: 1, arbitrary: madeUpRefreshToken },
    { weight: 1, arbitrary: otherRefreshToken(loot) },
    { weight: 2, arbitrary: fc.tuple(known, fc.nat(), fc.constantFrom('', 'A', '~', '=', ' ')).map(damage) },
  )
}

const bytes = (length: number) =>
  fc.uint8Array({ minLength: length, maxLength: length }).map(array => Buffer.from(array))

/** With the right checksum, which is no secret, and under any root key. */
const madeUpRefreshToken = fc
  .record({
    rootKeyId: fc.oneof(
      fc.constantFrom('00000000', 'ffffffff'),
      bytes(4).map(id => id.toString('hex')),
    ),
    sessionId: bytes(16),
    generation: fc.nat(),
    secret: bytes(16),
    boundTo: fc.oneof(fc.constant(null), bytes(32)),
    macKey: bytes(32),
  })
  .map(({ macKey, ...token }) => sealRefreshToken(() => macKey, token))

/** The real one as of no version, under another root key, or of another length; with the right checksum. */
function otherRefreshToken({ refreshToken }: Loot): fc.Arbitrary<string> {
  const real = bytesOf(refreshToken)
  return fc
    .record({
      // A later one is 503, as it is to be.
      version: fc.constantFrom(0, 1),
      rootKeyId: fc.oneof(fc.constant(real.subarray(1, 5)), bytes(4)),
      cut: fc.nat({ max: real.length }),
      more: fc.uint8Array({ maxLength: 400 }),
    })
    .map(({ version, rootKeyId, cut, more }) =>
      written(Buffer.concat([Buffer.of(version), rootKeyId, real.subarray(5, cut), more])),
    )
}

/** Replaces one character, or cuts the rest off. */
function damage([known, at, by]: [string, number, string]): string {
  const place = at % known.length
  return by === '' ? known.slice(0, place) : known.slice(0, place) + by + known.slice(place + 1)
}

/** Neither the alphabet nor the percent sequences need be right. */
export const encoders: ((text: string) => string)[] = [
  encodeURIComponentOfAnything,
  encodeURIComponentOfAnything,
  encodeURIComponentOfAnything,
  text => text.replaceAll(' ', '+'),
  text => Buffer.from(text).toString('latin1'),
  text => Array.from(Buffer.from(text), byte => `%${byte.toString(16)}`).join(''),
]

export function encodeURIComponentOfAnything(text: string): string {
  return encodeURIComponent(text.toWellFormed())
}
