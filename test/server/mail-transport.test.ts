import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import type { SMTPServerOptions } from 'smtp-server'
import t, { type Test } from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { transportOf, type Delivery } from '../../src/mail/transport.ts'
import { newUuid } from '../../src/protocol/secrets.ts'
import { openMailbox } from '../helpers/mailbox.ts'

const pem = (name: string) => readFileSync(join(import.meta.dirname, '../data/tls', name), 'utf8')
const certificate = { key: pem('server.key'), cert: pem('server.crt') }

/** Sends one mail by the server of the URL. */
async function send(url: string, to = 'ada@mail.example', signal?: AbortSignal): Promise<Delivery> {
  const settings = { MINTMARK_SMTP_URL: url, MINTMARK_MAIL_FROM: 'no-reply@as.example' }
  const transport = transportOf(loadConfig({ MINTMARK_ISSUER: 'https://as.example', ...settings }, '/'))
  if (!transport) throw new Error('there is a server in the settings')
  return transport.send({ id: newUuid(1), at: 1, to, subject: 'Hello', text: 'Hello' }, signal)
}

/** A server that says something when it is connected to, and then the answers, one for each line it reads. */
async function openScript(t: Test, ...answers: readonly string[]): Promise<string> {
  const server = createServer(socket => {
    const left = [...answers]
    const say = () => {
      const answer = left.shift()
      if (answer === 'end') socket.destroy()
      else if (answer !== undefined) socket.write(`${answer}\r\n`)
    }
    socket.on('data', chunk => {
      for (const _ of String(chunk).matchAll(/\r\n/g)) say()
    })
    socket.on('error', () => {})
    say()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return `smtp://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** An answer of smtp-server. */
const reply = (responseCode: number, text: string) => Object.assign(new Error(text), { responseCode })

t.test('a delivery that fails says at which stage, and whether it is worth another try (MA-7)', async t => {
  const stages: [title: string, options: SMTPServerOptions, Partial<Delivery>][] = [
    [
      'the sender is refused',
      { onMailFrom: (_, __, done) => done(reply(550, 'not you')) },
      // The operator may set that right.
      { kind: 'away', stage: 'sender', code: '550' },
    ],
    [
      'the recipient is refused for good',
      { onRcptTo: (_, __, done) => done(reply(550, 'no such user')) },
      { kind: 'refused', stage: 'recipient', code: '550', answer: '550 no such user' },
    ],
    [
      'the recipient is refused for now',
      { onRcptTo: (_, __, done) => done(reply(451, 'greylisted')) },
      { kind: 'failed', stage: 'recipient', code: '451' },
    ],
    [
      'the mail is refused for good',
      { onData: (stream, _, done) => void stream.resume().on('end', () => done(reply(554, 'spam'))) },
      { kind: 'refused', stage: 'data', code: '554' },
    ],
    [
      'the mail is refused for now',
      { onData: (stream, _, done) => void stream.resume().on('end', () => done(reply(452, 'full'))) },
      { kind: 'failed', stage: 'data', code: '452' },
    ],
    [
      'nobody may connect',
      { onConnect: (_, done) => done(reply(554, 'go away')) },
      { kind: 'away', stage: 'connect', code: '554' },
    ],
  ]
  for (const [title, options, delivery] of stages) {
    const { env, mails } = await openMailbox(t, options)
    t.match(await send(env.MINTMARK_SMTP_URL), delivery, title)
    t.strictSame(mails, [])
  }
  t.match(await send('smtp://127.0.0.1:1'), { kind: 'away', stage: 'connect', code: 'ECONNREFUSED' })
  t.match(await send('smtp://none.invalid?tls=none'), { kind: 'away', stage: 'connect' })
})

t.test('a server that breaks off is known by how far it has come', async t => {
  const ehlo = ['220 hi', '250 hi']
  t.match(await send(await openScript(t, 'end')), { kind: 'away', stage: 'connect' })
  t.match(await send(await openScript(t, ...ehlo, 'end')), { kind: 'away', stage: 'sender' })
  t.match(await send(await openScript(t, ...ehlo, '250 ok', 'end')), { kind: 'away', stage: 'recipient' })
  t.match(await send(await openScript(t, ...ehlo, '250 ok', '250 ok', 'end')), {
    kind: 'away',
    stage: 'data',
  })
  t.match(
    await send(await openScript(t, ...ehlo, '250 ok', '250 ok', '354 go on', 'end')),
    { kind: 'away', stage: 'data' },
    'in the middle of the mail',
  )
})

t.test('a server that says nothing is left when ours closes, but not once it may have the mail', async t => {
  const closing = new AbortController()
  const silent = send(await openScript(t, '220 hi', '250 hi', '250 ok'), 'ada@mail.example', closing.signal)
  setTimeout(() => closing.abort(), 100)
  t.match(await silent, { kind: 'away', stage: 'recipient' })

  const late = new AbortController()
  const slow = await openMailbox(t, {
    onData: (stream, _, done) => {
      stream.resume().on('end', () => {
        late.abort()
        setTimeout(() => done(), 100)
      })
    },
  })
  t.strictSame(await send(slow.env.MINTMARK_SMTP_URL, 'ada@mail.example', late.signal), { kind: 'sent' })
})

t.test('MA-6 where TLS is wanted, nothing goes out without it', async t => {
  const login = {
    onAuth: (_: unknown, __: unknown, done: (error: null, answer: object) => void) => done(null, { user: 1 }),
  }
  const bare = await openMailbox(t)
  t.match(
    await send(`smtp://u:p@localhost:${bare.port}?tls=required`),
    { kind: 'away', stage: 'TLS' },
    'no STARTTLS',
  )
  const offering = await openMailbox(t, { ...certificate, ...login, disabledCommands: [] })
  const atOnce = await openMailbox(t, { ...certificate, ...login, secure: true, disabledCommands: [] })
  const urls = [`smtp://u:p@localhost:${offering.port}?tls=required`, `smtps://u:p@localhost:${atOnce.port}`]
  for (const url of urls)
    t.match(await send(url), { kind: 'away', stage: 'TLS' }, 'nobody vouches for the certificate')
  t.match(await send(`smtps://u:p@localhost:${bare.port}`), { kind: 'away', stage: 'TLS' }, 'no TLS there')

  const authorities = getCACertificates('default')
  setDefaultCACertificates([...authorities, pem('ca.crt')])
  t.teardown(() => setDefaultCACertificates(authorities))
  for (const url of urls) t.strictSame(await send(url), { kind: 'sent' }, 'an authority that is known does')
  t.match(
    await send(`smtps://u:p@127.0.0.1:${atOnce.port}`),
    { kind: 'away', stage: 'TLS' },
    'but for another name',
  )
  t.equal(offering.mails.length, 1)
  t.equal(atOnce.mails.length, 1)
  t.equal(bare.mails.length, 0)
})

t.test('a wrong password is named as the stage, and never shown', async t => {
  const password = 'correct-horse-battery'
  const { port, mails } = await openMailbox(t, {
    disabledCommands: ['STARTTLS'],
    authOptional: false,
    allowInsecureAuth: true,
    // A server that says again what it was sent.
    onAuth: (auth, _, done) =>
      done(reply(535, `5.7.8 wrong: ${auth.password} ${btoa(`\0u\0${auth.password}`)}`)),
  })
  const delivery = await send(`smtp://u:${password}@127.0.0.1:${port}`)
  t.match(delivery, { kind: 'away', stage: 'auth', code: '535 5.7.8' })
  t.notMatch(JSON.stringify(delivery), new RegExp(`${password}|${btoa(`\0u\0${password}`)}`))
  const none = await openMailbox(t)
  t.match(
    await send(`smtp://u:${password}@127.0.0.1:${none.port}`),
    { kind: 'away', stage: 'auth' },
    'a server that asks for no password gets no mail as if it had',
  )
  t.strictSame([...mails, ...none.mails], [])
})

t.test('MA-1 an address in any script goes out where the server takes it', async t => {
  const mailbox = await openMailbox(t)
  t.strictSame(await send(mailbox.env.MINTMARK_SMTP_URL, 'josé@xn--bcher-kva.example'), { kind: 'sent' })
  t.match(mailbox.mails, [{ to: /^josé@(bücher|xn--bcher-kva)\.example$/ }])
})
