import fc from 'fast-check'
import t from 'tap'
import { html, linkTarget } from '../../src/pages/html.ts'
import { languageOf, languageTags } from '../../src/pages/language.ts'
import type { Frame } from '../../src/pages/layout.ts'
import { openLook } from '../../src/pages/look.ts'
import { accountChoiceView } from '../../src/pages/views/account-choice.ts'
import { formPostView } from '../../src/pages/views/form-post.ts'
import { messageView } from '../../src/pages/views/message.ts'
import { loadConfig } from '../../src/config/load.ts'
import { anyCharacter } from '../helpers/any-character.ts'
import { runsOf } from '../helpers/runs.ts'
import { longNames, plainNames, viewSamples, type Names } from '../helpers/view-samples.ts'

const languages = languageTags.map(tag => languageOf([tag], () => undefined))

function frameOf(env: Record<string, string> = {}, language = languageOf([], () => undefined)): Frame {
  return { look: openLook(loadConfig(env, '/srv')), language, requestId: 'r-1' }
}

const escaped = (text: string) =>
  text.replace(
    /[&<>"']/g,
    special => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[special] ?? '&#39;',
  )

/** Letters, and what ends a text, an attribute, an element or a comment. */
const anyText = fc.oneof(
  fc.string({ unit: anyCharacter, maxLength: 60 }),
  fc
    .array(
      fc.constantFrom(
        '<',
        '>',
        '"',
        "'",
        '&',
        '&lt;',
        '</title>',
        '</style>',
        '<!--',
        '-->',
        '<script>',
        '`',
        '=',
        '/',
        '\0',
        ' ',
        'a',
      ),
      { maxLength: 12 },
    )
    .map(parts => parts.join('')),
)

t.test('no name, and nothing that was sent, ever becomes markup', async t => {
  // What stands for each value, so that all places where it goes are found.
  const marks: Names = {
    client: 'QclientQ',
    operator: 'QoperatorQ',
    username: 'QusernameQ',
    scope: 'QscopeQ',
    words: 'QwordsQ',
    sent: 'QsentQ',
  }
  for (const language of languages) {
    const frame = frameOf({}, language)
    const templates = [...viewSamples(marks)].map(([name, view]) => [name, String(view(frame))] as const)
    for (const mark of Object.values(marks))
      t.ok(
        templates.some(([, page]) => page.includes(mark)),
        `${mark} is on a page`,
      )
    fc.assert(
      fc.property(
        fc.record({
          client: anyText,
          operator: anyText,
          username: anyText,
          scope: anyText,
          words: anyText,
          sent: anyText,
        }),
        names => {
          // One that is left empty may leave a word or a focus out.
          fc.pre(names.username !== '')
          const samples = viewSamples(names)
          for (const [name, template] of templates) {
            const page = String(samples.get(name)?.(frame))
            const expected = template.replace(/Q(\w+)Q/g, (_, member: keyof Names) => escaped(names[member]))
            if (page !== expected) throw new Error(`${name}: ${page}`)
          }
        },
      ),
      { numRuns: runsOf(60) },
    )
  }
})

t.test('the name of the operator never becomes markup', async t => {
  const name = `</title><script>"'&`
  const page = String(viewSamples().get('log-in')?.(frameOf({ MINTMARK_NAME: name })))
  t.equal(page.split('<script').length, 2, 'the script of passkeys alone')
  t.equal(page.split(escaped(name)).length, 3, 'in the title and in the heading')
})

t.test('a link has an address of the web or of an app, and never one that runs', async t => {
  const good = [
    'https://orders.example/',
    'https://orders.example/a?b=c#d',
    'http://127.0.0.1:3000/',
    'http://[::1]:3000/',
    'http://localhost/',
    'com.example.orders:/home',
  ]
  for (const uri of good) t.equal(linkTarget(uri), uri)
  const bad = [
    'javascript:alert(1)',
    'JavaScript:alert(1)',
    ' javascript:alert(1)',
    'java\nscript:alert(1)',
    'data:text/html,<script>alert(1)</script>',
    'vbscript:x',
    'blob:https://orders.example/1',
    'http://orders.example/',
    'https://user:secret@orders.example/',
    'https://user@orders.example/',
    'https://:secret@orders.example/',
    'orders:/home',
    'file:///etc/passwd',
    '//orders.example/',
    '/home',
    '',
  ]
  for (const uri of bad) t.equal(linkTarget(uri), undefined, JSON.stringify(uri))
  const client = { name: 'Orders', homeUri: 'javascript:alert(1)' }
  const page = String(
    accountChoiceView(frameOf(), { request: 'x', client, username: 'ada', anotherHref: '/log-in?request=y' }),
  )
  t.notMatch(page, /javascript/i, 'a client whose home page is none has no way back')
  t.throws(() => formPostView(frameOf(), { clientName: 'x', uri: 'javascript:alert(1)', parameters: [] }))
})

t.test(
  'the page to log in is less than 20 kB with everything, and its names are what people have chosen',
  async t => {
    for (const language of languages) {
      const page = String(viewSamples().get('log-in-wrong')?.(frameOf({}, language)))
      t.ok(Buffer.byteLength(page) < 20_000, `${Buffer.byteLength(page)} bytes`)
      t.match(page, `<html lang="${language.tag}">`)
    }
    t.match(String(viewSamples(longNames).get('log-in')?.(frameOf())), '<bdi>Donaudampf')
  },
)

t.test('below an issuer with a path, whatever leads to us leads there', async t => {
  const env = { MINTMARK_ISSUER: 'https://example.com/auth' }
  for (const [name, view] of viewSamples()) {
    const page = String(view(frameOf(env)))
    const local = [...page.matchAll(/ (?:href|action|src)="(\/[^"]*)"/g)].map(([, path = '']) => path)
    t.ok(local.length > 0, name)
    t.strictSame(
      local.filter(path => !path.startsWith('/auth/')),
      [],
      name,
    )
  }
})

/** Every text of a language, under its place, as it is for the same names. */
function textsOf(value: unknown, place = ''): [place: string, text: string][] {
  if (typeof value === 'string') return [[place, value]]
  if (typeof value === 'function') return [[place, String(value(html`NAME`))]]
  return Object.entries(Object(value)).flatMap(([key, inner]) => textsOf(inner, `${place}.${key}`))
}

t.test(
  'each text is there in each language, says the same of the same names, and is no other language',
  async t => {
    const [first = [], ...others] = languages.map(({ texts }) => textsOf(texts))
    t.ok(first.length > 60, 'they are found')
    for (const other of others) {
      t.strictSame(other.map(([place]) => place).toSorted(), first.map(([place]) => place).toSorted())
      const known = new Map(first)
      for (const [place, text] of other) {
        const english = known.get(place) ?? ''
        t.ok(text.trim() !== '', place)
        t.equal(text.includes('NAME'), english.includes('NAME'), `${place} has the name`)
        if (english !== 'Problem') t.not(text, english, `${place} is translated`)
      }
    }
  },
)

t.test('times to wait are said as people say them', async t => {
  const [en, de] = languages.map(({ texts }) => texts)
  t.equal(en?.tryAgainIn(1), 'Try again in 1 second.')
  t.equal(en?.tryAgainIn(30), 'Try again in 30 seconds.')
  t.equal(en?.tryAgainIn(90), 'Try again in 2 minutes.')
  t.equal(en?.tryAgainIn(600), 'Try again in 10 minutes.')
  t.equal(de?.tryAgainIn(1), 'Versuchen Sie es in einer Sekunde noch einmal.')
  t.equal(de?.tryAgainIn(89), 'Versuchen Sie es in 89 Sekunden noch einmal.')
  t.equal(de?.tryAgainIn(121), 'Versuchen Sie es in 3 Minuten noch einmal.')
})

t.test(
  'invariant 15: pages say the same whether there is an account or not, and never who has one',
  async t => {
    for (const { texts } of languages) {
      const problems = Object.values(texts.logIn.problems).join(' ')
      t.notMatch(
        problems,
        /unknown|no such|not exist|locked|disabled|deaktiviert|gesperrt|unbekannt|existiert/i,
      )
    }
  },
)

t.test('ui_locales choose the language, by what languages are as a whole', async t => {
  const chosen = (uiLocales: string[], accepted?: string): string => languageOf(uiLocales, () => accepted).tag
  t.equal(chosen([]), 'en', 'nothing said')
  t.equal(chosen(['de']), 'de')
  t.equal(chosen(['de-CH-1901']), 'de')
  t.equal(chosen(['DE-at']), 'de')
  t.equal(chosen(['fr', 'de', 'en']), 'de', 'the first that there is')
  t.equal(chosen(['fr'], 'de'), 'de', 'else what the browser accepts')
  t.equal(chosen(['en'], 'de'), 'en', 'but only else')
  t.equal(chosen(['constructor', '__proto__', ''], 'de'), 'de')
})

t.test('inputs have labels, and the names that password managers look for', async t => {
  const page = String(viewSamples().get('log-in')?.(frameOf()))
  const inputs = [...page.matchAll(/<input [^>]*>/g)].map(([input]) => input.replace(/\s+/g, ' '))
  const input = (name: string) => inputs.find(one => one.includes(` name="${name}"`)) ?? ''
  t.match(input('username'), / autocomplete="username webauthn"/)
  t.match(input('username'), / autocapitalize="none"/)
  t.match(input('password'), / type="password"/)
  t.match(input('password'), / autocomplete="current-password"/)
  for (const name of ['username', 'password']) {
    t.match(input(name), ` id="${name}"`)
    t.match(page, `<label for="${name}">`)
  }
  t.notMatch(page, / value="[^"]*" type="password"/)
  const wrong = String(viewSamples().get('log-in-wrong')?.(frameOf()))
  t.match(wrong, /<p id="problem" role="alert">/)
  t.equal(wrong.match(/aria-invalid="true" aria-describedby="problem"/g)?.length, 2)
  t.match(wrong, ` value="${plainNames.username}"`, 'what was typed is kept')
  t.match(wrong, '<title>Problem: ')
})

/** On these nothing is typed or decided but, one by one, what is to go. */
const asksNothing =
  /^message-|^account(-bare|-mail-off|-passkeys-off|-authenticator-on|-codes-n\w+|-places-here|-apps(-none)?|-tokens(-\w+)?|-token(-apis)?)?$/

t.test('each page has one primary button, and what it sends is said in words', async t => {
  for (const [name, view] of viewSamples()) {
    const page = String(view(frameOf()))
    const buttons = [...page.matchAll(/<button ([^>]*)>/g)].map(([, attributes = '']) => attributes)
    // Without a type it submits too, and so what looks for `type=submit` finds one.
    const primary = buttons.filter(one => one.includes('type="submit"'))
    t.ok(
      buttons.every(one => one.includes('type="submit"') !== one.includes('second')),
      name,
    )
    t.equal(primary.length, asksNothing.test(name) ? 0 : 1, name)
  }
})

t.test('a problem says how it is found in the log, and good news do not', async t => {
  const shown = (kind: Parameters<typeof messageView>[1]['kind']): string =>
    String(messageView(frameOf(), { kind }))
  t.match(shown('unavailable'), '<code>r-1</code>')
  t.match(shown('redirect_uri_unregistered'), 'the redirect_uri is not registered for this client')
  t.notMatch(shown('logged_out'), 'r-1')
  t.notMatch(shown('logged_out'), '<title>Problem')
})
