import fc from 'fast-check'
import t from 'tap'
import { mailbox } from '../../src/config/kinds.ts'
import { describeSmtpServer, parseSmtpUrl } from '../../src/config/smtp-url.ts'
import { mailAddress } from '../../src/protocol/mail-address.ts'
import { anyCharacter } from '../helpers/any-character.ts'

t.test('MA-1 an address goes to SMTP with its local part as it is, and its domain in ASCII', async t => {
  const good: [string, string][] = [
    ['ada@example.com', 'ada@example.com'],
    ['Ada.Lovelace+x@Example.COM', 'Ada.Lovelace+x@example.com'],
    ["o'brien_!#$%&*/=?^`{|}~-@example.com", "o'brien_!#$%&*/=?^`{|}~-@example.com"],
    ['ada@Bücher.example', 'ada@xn--bcher-kva.example'],
    ['ada@faß.example', 'ada@xn--fa-hia.example'],
    ['ada@例え。テスト', 'ada@xn--r8jz45g.xn--zckzah'],
    ['josé@example.com', 'josé@example.com'],
    ['jose\u0301@example.com', 'josé@example.com'],
    [`${'a'.repeat(64)}@example.com`, `${'a'.repeat(64)}@example.com`],
  ]
  for (const [text, address] of good) t.equal(mailAddress(text), address, text)
})

t.test('MA-2 what is no address of one person, or could be more to SMTP, is none', async t => {
  const bad = [
    '',
    'ada',
    '@example.com',
    'ada@',
    'ada@localhost',
    'ada@192.0.2.1',
    'ada@0x7f.1',
    'ada@[192.0.2.1]',
    'ada@example.com\r\nBcc: eve@evil.example',
    'ada@example.com\n',
    'ada\r\n@example.com',
    'ada@exam\nple.com',
    'ada@exam\u2028ple.com',
    'ada@example.com\0',
    'ada@example.com, eve@evil.example',
    'ada@example.com eve@evil.example',
    'ada@example.com>',
    '<ada@example.com>',
    'Ada <ada@example.com>',
    '"ada b"@example.com',
    'ada@b@example.com',
    'ada..b@example.com',
    '.ada@example.com',
    'ada.@example.com',
    'ada@-example.com',
    'ada@example-.com',
    'ada@example..com',
    'ada@example.com.',
    'ada@exa_mple.com',
    'ada@exa%6dple.com',
    'ada@example.com/x',
    'ada@example．com％2f',
    'a\u200bda@example.com',
    `${'a'.repeat(65)}@example.com`,
    `${'é'.repeat(33)}@example.com`,
    `ada@${'a'.repeat(64)}.example`,
    `ada@${'abcdefgh.'.repeat(28)}example`,
  ]
  for (const text of bad) t.equal(mailAddress(text), undefined, encodeURI(text))
})

/** Pieces that break something somewhere. */
const piece = fc.constantFrom(
  ...[
    'ada',
    'é',
    '.',
    '@',
    '\r',
    '\n',
    ' ',
    '\t',
    '\0',
    '<',
    '>',
    ',',
    ';',
    ':',
    '"',
    '\\',
    '(',
    ')',
    '[',
    ']',
  ],
  ...[
    'example.com',
    'bücher.example',
    '。',
    '％',
    '＠',
    '\u2028',
    '\u200b',
    '%0d%0a',
    'xn--',
    '-',
    '1',
    '127.0.0.1',
  ],
)
const few = fc.array(piece, { maxLength: 2 })
const text = fc.oneof(
  fc.string({ unit: anyCharacter }),
  fc.array(piece, { maxLength: 8 }).map(pieces => pieces.join('')),
  fc.tuple(few, few).map(([a, b]) => `a${a.join('')}@${b.join('')}b.example`),
)

t.test('MA-3 whatever is typed, nothing comes out that ends a line, a command or an address', async t => {
  let addresses = 0
  fc.assert(
    fc.property(text, typed => {
      const address = mailAddress(typed)
      if (address === undefined) return true
      addresses++
      return (
        /^[^\s\p{C}"(),:;<>@[\\\]]{1,64}@[a-z0-9.-]+$/u.test(address) &&
        Buffer.byteLength(address) <= 254 &&
        mailAddress(address) === address
      )
    }),
    { numRuns: 5000 },
  )
  t.ok(addresses > 100, 'and some were addresses')
})

t.test('MINTMARK_MAIL_FROM is an address, or one with a name', async t => {
  t.strictSame(mailbox.parse('no-reply@example.com'), { name: '', address: 'no-reply@example.com' })
  t.strictSame(mailbox.parse('Bücher & Co. <no-reply@bücher.example>'), {
    name: 'Bücher & Co.',
    address: 'no-reply@xn--bcher-kva.example',
  })
  for (const wrong of [
    'Example',
    'Example <>',
    'a <b@example.com> c',
    'a\n<b@example.com>',
    '"a" <b@example.com>',
  ])
    t.equal(mailbox.parse(wrong), undefined, wrong)
})

t.test('MINTMARK_SMTP_URL encrypts what goes to another machine, unless it says otherwise', async t => {
  const login = { user: 'ada', password: 'p@ss/w:rd' }
  const good: [string, object, string][] = [
    [
      'smtps://ada:p%40ss%2Fw%3Ard@mx.example',
      { host: 'mx.example', port: 465, tls: 'at once', login },
      'smtps://mx.example:465',
    ],
    [
      'smtps://mx.example:2465/',
      { host: 'mx.example', port: 2465, tls: 'at once', login: undefined },
      'smtps://mx.example:2465',
    ],
    [
      'smtp://mx.example',
      { host: 'mx.example', port: 587, tls: 'by STARTTLS' },
      'smtp://mx.example:587, by STARTTLS',
    ],
    ['smtp://mx.example:25?tls=none', { port: 25, tls: 'none' }, 'smtp://mx.example:25, without TLS'],
    ['smtp://127.0.0.1:1025', { port: 1025, tls: 'none' }, 'smtp://127.0.0.1:1025, without TLS'],
    ['smtp://localhost:1025', { tls: 'none' }, 'smtp://localhost:1025, without TLS'],
    ['smtp://[::1]:1025', { host: '::1', tls: 'none' }, 'smtp://[::1]:1025, without TLS'],
    ['smtp://localhost?tls=required', { tls: 'by STARTTLS' }, 'smtp://localhost:587, by STARTTLS'],
    ['SMTP://10.0.0.1', { tls: 'by STARTTLS' }, 'smtp://10.0.0.1:587, by STARTTLS'],
  ]
  for (const [url, server, shown] of good) {
    const parsed = parseSmtpUrl(url)
    t.match(parsed, server, url)
    if (!('problem' in parsed)) t.equal(describeSmtpServer(parsed), shown, 'and is shown without its secrets')
  }
  const bad = [
    'mx.example',
    'https://mx.example',
    'smtp://',
    'smtp://ada:secret-1@',
    'smtp://ada:secret-1@mx.example/path',
    'smtp://ada:secret-1@mx.example#x',
    'smtp://ada:secret-1/@mx.example',
    'smtp://ada@mx.example',
    'smtp://:secret-1@mx.example',
    'smtp://ada:%zz@mx.example',
    'smtp://mx.example?tls=maybe',
    'smtp://mx.example?tls=none&tls=none',
    'smtp://mx.example?secure=false',
    'smtps://mx.example?tls=none',
    'smtp://mx.example:0',
    'smtp://mx.example:70000',
    'smtp://mx.exam\nple',
    'smtp://127.0.0.1.evil.example@',
  ]
  for (const url of bad) {
    const parsed = parseSmtpUrl(url)
    t.ok('problem' in parsed, url)
    t.notMatch(JSON.stringify(parsed), /secret-1/, 'the secret is not shown')
  }
  t.match(parseSmtpUrl('smtp://127.0.0.1.evil.example'), { tls: 'by STARTTLS' }, 'a name is no address')
})
