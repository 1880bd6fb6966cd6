import fc from 'fast-check'
import { canary, encodeURIComponentOfAnything, encoders, secretCanary, text, type Loot } from './loot.ts'
import { jwt } from './tokens.ts'

const names = [
  ...['grant_type', 'client_id', 'client_secret', 'username', 'password', 'refresh_token', 'scope'],
  ...['resource', 'token', 'token_type_hint', 'device_token', 'client_assertion', 'client_assertion_type'],
  ...['response_type', 'redirect_uri', 'code_challenge', 'prompt', 'max_age', 'claims', 'id_token_hint'],
  ...['request_uri', 'dpop_jkt'],
]

const isSecretName = (name: string) => /password|secret|token$|assertion$/.test(name)

export function form(loot: Loot): fc.Arbitrary<string> {
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

/** No name twice, and nothing but the values is odd. */
export function rightForm(loot: Loot): fc.Arbitrary<string> {
  const grant = fc.constantFrom('password', 'refresh_token', 'client_credentials', '')
  const others = names.filter(name => !/^(client_|grant_type)/.test(name))
  const value = (name: string) =>
    fc.oneof({ weight: 3, arbitrary: text(loot, isSecretName(name) ? secretCanary : canary) }, jwt(loot))
  const pairs = fc
    .uniqueArray(fc.constantFrom(...others), { maxLength: 4 })
    .chain(chosen => fc.tuple(...chosen.map(name => value(name).map(made => [name, made] as const))))
  return fc
    .tuple(grant, pairs)
    .map(([grantType, made]) =>
      [['grant_type', grantType] as const, ...made]
        .map(([name, made]) => `${name}=${encodeURIComponentOfAnything(made)}`)
        .join('&'),
    )
}
