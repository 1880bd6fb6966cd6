import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import type { AddressInfo } from 'node:net'
import { SMTPServer, type SMTPServerOptions } from 'smtp-server'
import type { Test } from 'tap'
import type { Job } from '../../src/upkeep/job.ts'
import { runJob } from './run-job.ts'

/** A mail as its reader gets it. */
export interface ReceivedMail {
  /** Of the envelope. */
  readonly from: string
  readonly to: string
  readonly subject: string
  /** By their names in lower case. */
  readonly headers: ReadonlyMap<string, string>
  readonly text: string
  /** The first link in it. */
  readonly link: string | undefined
  /** As it came. */
  readonly raw: string
}

export interface Mailbox {
  readonly port: number
  /** Pass it to `startServer`, or to a process, and the server sends its mails here. */
  readonly env: { readonly MINTMARK_SMTP_URL: string; readonly MINTMARK_MAIL_FROM: string }
  /** All that has come. */
  readonly mails: readonly ReceivedMail[]
  /**
   * Has a server, whose jobs are run by hand, send what is due, and returns what has come since the last
   * time.
   */
  read(server: { readonly jobs: readonly Job[] }): Promise<readonly ReceivedMail[]>
}

/** A real SMTP server on the loopback interface, which takes every mail unless the options say otherwise. */
export async function openMailbox(t: Test, options: SMTPServerOptions = {}): Promise<Mailbox> {
  const mails: ReceivedMail[] = []
  const server = new SMTPServer({
    disabledCommands: ['STARTTLS', 'AUTH'],
    authOptional: true,
    disableReverseLookup: true,
    onData: (stream, { envelope }, done) => {
      void text(stream).then(raw => {
        const from = envelope.mailFrom ? envelope.mailFrom.address : ''
        mails.push(parseMail(raw, from, envelope.rcptTo.map(({ address }) => address).join(' ')))
        done()
      })
    },
    ...options,
  })
  // A client that goes away in the middle is none of the mailbox's business.
  server.on('error', () => {})
  const listening = server.listen(0, '127.0.0.1')
  await once(listening, 'listening')
  t.teardown(() => new Promise<void>(resolve => server.close(() => resolve())))
  const { port } = listening.address() as AddressInfo
  let seen = 0
  return {
    port,
    env: {
      MINTMARK_SMTP_URL: `smtp://127.0.0.1:${port}`,
      MINTMARK_MAIL_FROM: 'Example <no-reply@as.example>',
    },
    mails,
    read: async worker => {
      await runJob(worker, 'sending mails')
      const news = mails.slice(seen)
      seen = mails.length
      return news
    },
  }
}

/** Reads a mail of one part (RFC 5322, RFC 2045, RFC 2047). */
export function parseMail(raw: string, from: string, to: string): ReceivedMail {
  const [head = '', ...rest] = raw.split('\r\n\r\n')
  const lines = head.replace(/\r\n[ \t]+/g, ' ').split('\r\n')
  const headers = new Map(
    lines.map(line => [
      line.slice(0, line.indexOf(':')).toLowerCase(),
      line.slice(line.indexOf(':') + 1).trim(),
    ]),
  )
  const body = decodeBody(rest.join('\r\n\r\n'), headers.get('content-transfer-encoding')).replaceAll(
    '\r\n',
    '\n',
  )
  const isFlowed = /format=flowed/.test(headers.get('content-type') ?? '')
  const plain = isFlowed ? body.replace(/(?<!^-- ?) \n/gm, ' ') : body
  return {
    from,
    to,
    subject: decodeWords(headers.get('subject') ?? ''),
    headers,
    text: plain,
    link: /https?:\/\/\S+/.exec(plain)?.[0],
    raw,
  }
}

function decodeBody(body: string, encoding = '7bit'): string {
  switch (encoding.toLowerCase()) {
    case 'base64':
      return Buffer.from(body, 'base64').toString()
    case 'quoted-printable':
      return decodeQuoted(body.replace(/=\r\n/g, ''))
    default:
      return body
  }
}

function decodeQuoted(text: string): string {
  return Buffer.from(
    text.replace(/=([0-9A-F]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    'latin1',
  ).toString()
}

function decodeWords(text: string): string {
  return text
    .replace(/\?=\s+=\?/g, '?==?')
    .replace(/=\?utf-8\?([bq])\?([^?]*)\?=/gi, (_, kind: string, word: string) =>
      kind.toLowerCase() === 'b'
        ? Buffer.from(word, 'base64').toString()
        : decodeQuoted(word.replaceAll('_', ' ')),
    )
}
