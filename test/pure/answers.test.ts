import fc from 'fast-check'
import t from 'tap'
import { answerTo, type Outcome } from '../../src/authorization/answers.ts'
import type { Config } from '../../src/config/load.ts'
import type { Recipient } from '../../src/protocol/authorization-request.ts'
import { anyCharacter } from '../helpers/any-character.ts'
import { webUrl } from '../helpers/web-urls.ts'

const issuer = 'https://as.example/x'
const callback = 'https://app.example/callback'
const context = { config: { issuer } as Config }

const recipient: Recipient = { redirectUri: callback, responseMode: 'query', state: 'a state' }
const answer = (more: Partial<Recipient>, outcome: Outcome, registered = callback) =>
  answerTo(context, { redirect_uris: registered }, { ...recipient, ...more }, outcome)

const code: Outcome = { code: 'mm_ac_x' }
const denied: Outcome = { error: 'access_denied', description: 'the person has said no' }

t.test('A-9 an answer has iss, and state as it was sent (RFC 6749 §4.1.2)', async t => {
  const cases: [more: Partial<Recipient>, outcome: Outcome, query: string][] = [
    [{}, code, 'code=mm_ac_x&state=a+state&iss=https%3A%2F%2Fas.example%2Fx'],
    [{ state: null }, code, 'code=mm_ac_x&iss=https%3A%2F%2Fas.example%2Fx'],
    [
      {},
      denied,
      'error=access_denied&error_description=the+person+has+said+no&state=a+state&iss=https%3A%2F%2Fas.example%2Fx',
    ],
    [{ state: null }, { error: 'login_required' }, 'error=login_required&iss=https%3A%2F%2Fas.example%2Fx'],
    [
      { state: '&code=x#"<ä>%\n' },
      code,
      'code=mm_ac_x&state=%26code%3Dx%23%22%3C%C3%A4%3E%25%0A&iss=https%3A%2F%2Fas.example%2Fx',
    ],
  ]
  for (const [more, outcome, query] of cases)
    t.strictSame(answer(more, outcome), { kind: 'redirect', uri: `${callback}?${query}` }, query)
})

t.test('RFC 6749 §3.1.2 the query of a redirect URI stays as it is', async t => {
  const rest = 'code=mm_ac_x&iss=https%3A%2F%2Fas.example%2Fx'
  const cases: [redirectUri: string, uri: string][] = [
    ['https://app.example', `https://app.example?${rest}`],
    ['https://app.example/a?b=c%20d', `https://app.example/a?b=c%20d&${rest}`],
    ['https://app.example/a?', `https://app.example/a?${rest}`],
    ['https://app.example/a?b&', `https://app.example/a?b&${rest}`],
    ['com.example.app:/x', `com.example.app:/x?${rest}`],
  ]
  for (const [redirectUri, uri] of cases)
    t.strictSame(answer({ redirectUri, state: null }, code, redirectUri), { kind: 'redirect', uri }, uri)
})

t.test('A-9 an answer by form_post has the same parameters', async t => {
  t.strictSame(answer({ responseMode: 'form_post' }, code), {
    kind: 'form_post',
    uri: callback,
    parameters: [
      ['code', 'mm_ac_x'],
      ['state', 'a state'],
      ['iss', issuer],
    ],
  })
  t.match(answer({ responseMode: 'form_post', state: null }, denied), {
    parameters: [
      ['error', 'access_denied'],
      ['error_description', 'the person has said no'],
      ['iss', issuer],
    ],
  })
})

t.test('invariant 13 no answer leaves for a URI that is not registered when it leaves', async t => {
  for (const outcome of [code, denied]) {
    for (const responseMode of ['query', 'form_post'] as const) {
      t.equal(answer({ responseMode }, outcome, ''), undefined, 'it was taken away')
      t.equal(answer({ responseMode }, outcome, `${callback}/ https://app.example`), undefined, 'another one')
      const script = 'javascript:alert(1)'
      t.equal(answer({ responseMode, redirectUri: script }, outcome, script), undefined, 'a script')
    }
  }
  const native = { redirectUri: 'http://127.0.0.1:51004/cb' }
  t.match(answer(native, code, 'http://127.0.0.1/cb'), { uri: /^http:\/\/127\.0\.0\.1:51004\/cb\?code=/ })
  const property = fc.property(
    fc.oneof(webUrl, fc.string()),
    fc.array(webUrl),
    fc.option(fc.string()),
    (redirectUri, others, state) => {
      const registered = [...others, callback]
      const sent = answer({ redirectUri, state }, code, registered.join(' '))
      if (!sent) return true
      return registered.includes(redirectUri) && sent.uri.startsWith(redirectUri)
    },
  )
  t.doesNotThrow(() => fc.assert(property))
})

t.test('A-9 a client reads back what was sent, whatever state is', async t => {
  const property = fc.property(fc.string({ minLength: 1, unit: anyCharacter }), state => {
    if (!state.isWellFormed()) return true
    const sent = answer({ state }, code)
    const { searchParams } = new URL(sent?.uri ?? '')
    return (
      searchParams.get('state') === state &&
      searchParams.get('iss') === issuer &&
      [...searchParams.keys()].join() === 'code,state,iss'
    )
  })
  t.doesNotThrow(() => fc.assert(property))
})
