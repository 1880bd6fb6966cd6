import type { Mailbox } from '../config/kinds.ts'
import type { Config } from '../config/load.ts'
import type { SmtpServer } from '../config/smtp-url.ts'
import { formatUuid } from '../protocol/secrets.ts'
import { printable } from '../values/formats.ts'
import type { Mail } from './mail.ts'

/** Brings mails to where they go. */
export interface Transport {
  /** The signal asks it to give up, as long as the SMTP server cannot have the mail. */
  send(mail: OutgoingMail, signal?: AbortSignal): Promise<Delivery>
}

export interface OutgoingMail extends Pick<Mail, 'to' | 'subject' | 'text'> {
  /** The same at each try, so that a mail which arrives twice can be told to be one. */
  readonly id: Buffer
  /** When it was written, in seconds since the epoch. */
  readonly at: number
}

/** How far a conversation with an SMTP server has come (RFC 5321 §3). */
export type Stage = 'connect' | 'TLS' | 'auth' | 'sender' | 'recipient' | 'data'

/** What has become of one try. */
export type Delivery = { readonly kind: 'sent' } | FailedDelivery

export interface FailedDelivery {
  /**
   * `refused`: this mail will never be taken. `failed`: the server did not take it now. `away`: nor would it
   * take any other.
   */
  readonly kind: 'refused' | 'failed' | 'away'
  readonly stage: Stage
  /** Of the reply (RFC 5321 §4.2, RFC 3463), or of the system: `550 5.1.1`, `ECONNREFUSED`. */
  readonly code: string
  /** For who runs the server: it may name the recipient. */
  readonly answer: string
}

/** The whole of a try ends after so long. */
export const trySeconds = 60

const connectSeconds = 10
/** So long the server may say nothing. */
const silenceSeconds = 30

/** How much is kept of what a server says. */
const answerMax = 300

/** The one of the settings; without an SMTP server, mails are shown where somebody looks. */
export function transportOf(
  { issuer, smtp, mailFrom }: Pick<Config, 'issuer' | 'smtp' | 'mailFrom'>,
  show?: (text: string) => void,
): Transport | undefined {
  if (smtp && mailFrom) return smtpTransport(URL.parse(issuer)?.hostname ?? 'localhost', smtp, mailFrom)
  return show && shownTransport(show)
}

/** Sends by an SMTP server. `host` is the name of this one. */
function smtpTransport(host: string, smtp: SmtpServer, from: Mailbox): Transport {
  return {
    send: async ({ id, at, to, subject, text }, signal) => {
      const conversation = openConversation()
      const giveUp = new AbortController()
      const end = () => {
        if (conversation.stage() !== 'data') giveUp.abort()
      }
      signal?.addEventListener('abort', end)
      const { createTransport } = await import('nodemailer')
      try {
        await createTransport({ ...optionsOf(smtp, host), ...conversation.options }).sendMail({
          from,
          to: { name: '', address: to },
          envelope: { from: from.address, to: [to] },
          subject,
          text,
          messageId: `<${formatUuid(id)}@${host}>`,
          date: new Date(at * 1000),
          // Who answers by himself leaves it alone (RFC 3834 §5).
          headers: { 'Auto-Submitted': 'auto-generated' },
          xMailer: false,
          disableFileAccess: true,
          disableUrlAccess: true,
          signal: AbortSignal.any([giveUp.signal, AbortSignal.timeout(trySeconds * 1000)]),
        })
        return { kind: 'sent' }
      } catch (error) {
        return deliveryOf(error, conversation.stage())
      } finally {
        signal?.removeEventListener('abort', end)
      }
    },
  }
}

function optionsOf({ host, port, tls, login }: SmtpServer, name: string) {
  return {
    host,
    port,
    name,
    secure: tls === 'at once',
    requireTLS: tls === 'by STARTTLS',
    ignoreTLS: tls === 'none',
    tls: { minVersion: 'TLSv1.2' as const },
    // Where the server offers no log-in although it should: an error says so, and nothing goes out.
    ...(login && { auth: { user: login.user, pass: login.password }, forceAuth: true }),
    connectionTimeout: connectSeconds * 1000,
    greetingTimeout: connectSeconds * 1000,
    dnsTimeout: connectSeconds * 1000,
    socketTimeout: silenceSeconds * 1000,
  }
}

/** The stage of each command that begins one. */
const commands: readonly (readonly [RegExp, Stage])[] = [
  [/^STARTTLS/, 'TLS'],
  [/^AUTH/, 'auth'],
  [/^MAIL FROM/, 'sender'],
  [/^RCPT TO/, 'recipient'],
  [/^DATA/, 'data'],
]

/**
 * Follows a conversation by what the library would log of it, since an error of the connection does not say
 * where it has happened. Nothing of it is kept.
 */
function openConversation() {
  let stage: Stage = 'connect'
  const say = (data: unknown, ...words: unknown[]) => {
    if (Object(data).tnx !== 'client') return
    stage = stageOf(words.join(' ')) ?? stage
  }
  const silent = () => {}
  const logger = {
    level: silent,
    trace: silent,
    debug: say,
    info: silent,
    warn: silent,
    error: silent,
    fatal: silent,
  }
  return { options: { logger, transactionLog: true }, stage: () => stage }
}

function stageOf(command: string): Stage | undefined {
  return commands.find(([pattern]) => pattern.test(command))?.[1]
}

interface SmtpError {
  readonly message?: string
  readonly code?: string
  readonly originalCode?: string
  readonly syscall?: string
  readonly command?: string
  readonly response?: string
  readonly responseCode?: number
}

function deliveryOf(error: unknown, reached: Stage): FailedDelivery {
  const {
    message = '',
    code,
    originalCode,
    syscall,
    command = '',
    response,
    responseCode,
  }: SmtpError = Object(error)
  const isTls = code === 'ETLS' || (code === 'ESOCKET' && syscall === undefined && reached === 'connect')
  const stage = isTls ? 'TLS' : (stageOf(command) ?? reached)
  const [reply] = /^\d{3}(?:[ -]\d\.\d{1,3}\.\d{1,3})?/.exec(response ?? '') ?? []
  const shown = reply?.replace('-', ' ') ?? originalCode ?? code ?? 'unknown'
  // An answer to a log-in may repeat the credentials.
  const answer = stage === 'auth' ? shown : printable(response ?? message).slice(0, answerMax)
  const isForMail = stage === 'recipient' || stage === 'data'
  const isPermanent = isForMail && responseCode !== undefined && responseCode >= 500
  const isReply = responseCode !== undefined
  return {
    kind: isPermanent ? 'refused' : isForMail && isReply ? 'failed' : 'away',
    stage,
    code: shown,
    answer,
  }
}

/** Shows mails to the operator, instead of sending them. */
function shownTransport(show: (text: string) => void): Transport {
  return {
    send: async ({ to, subject, text }) => {
      show(`To: ${to}\nSubject: ${subject}\n\n${text}`)
      return { kind: 'sent' }
    },
  }
}
