import type { Database } from '../../db/database.ts'
import {
  deleteMail,
  giveMailUp,
  listDueMails,
  listMailsUnderOlderKeys,
  postponeMail,
  readOutbox,
  resealMail,
  takeMail,
} from '../../db/mail/outbox.ts'
import type { OutboxTable } from '../../db/schema.ts'
import type { Clock } from '../clock.ts'
import { rowsUnderOlderKeys } from '../keys/root/older-keys.ts'
import type { RootKeys } from '../keys/root/root-key.ts'
import type { Event } from '../record/events.ts'
import type { Log } from '../record/log.ts'
import { record } from '../record/record.ts'
import { tellSeconds, type Job } from '../upkeep/job.ts'
import { gauge, queueLength, type Metric } from '../upkeep/metric.ts'
import { openMail, sealMail, triedSeconds, type Mail } from './mail.ts'
import { trySeconds, type FailedDelivery, type Transport } from './transport.ts'

/** How many are read at once, and how many of them are on their way at the same time. */
const mailsAtOnce = 20
const connectionsMax = 4

/** Longer than a try: another instance takes up what this one has taken and not brought to an end. */
const leaseSeconds = 2 * trySeconds

/** The pauses before a mail is tried again: a minute, then twice as long each time, up to an hour. */
const firstPauseSeconds = 60
const pauseSecondsMax = 3600

/** And those in which nothing is sent, since the SMTP server takes nothing. */
const firstRestSeconds = 5
const restSecondsMax = 60

/** How often it is looked how many mails wait, and whether they are sealed under an older root key. */
const lookSeconds = 10

export interface OutboxOptions {
  readonly db: Database
  readonly rootKeys: RootKeys
  readonly clock: Clock
  readonly log: Log
  readonly transport: Transport
}

/** Counts the mails that this server has had to do with. */
type Outcome = 'sent' | 'postponed' | 'refused' | 'given_up'

/**
 * Opens the outbox. Its jobs send what is due, on any instance: a conditional update decides which one. A
 * mail is sent at least once: twice, where an instance ends between the server's answer and the deletion.
 */
export function openOutbox(options: OutboxOptions): {
  readonly jobs: readonly Job[]
  readonly metrics: readonly Metric[]
} {
  const { db, rootKeys, clock, log } = options
  const counts: Record<Outcome, number> = { sent: 0, postponed: 0, refused: 0, given_up: 0 }
  let state = { waiting: 0, oldestAt: null as number | null }
  /** By the steady clock; how long the rest was tells how long the next one is. */
  let rest = { until: -Infinity, seconds: 0 }

  const restNow = ({ stage, code, answer }: FailedDelivery) => {
    if (clock.steady() < rest.until) return // another mail has met with the same
    if (rest.seconds === 0)
      log.error(
        { event: 'mail_server_away', stage, code, answer },
        'the SMTP server takes no mails: they wait',
      )
    const seconds = Math.min(restSecondsMax, rest.seconds * 2 || firstRestSeconds)
    rest = { until: clock.steady() + seconds, seconds }
  }
  const workAgain = () => {
    if (rest.seconds > 0) log.info({ event: 'mail_server_back' }, 'the SMTP server takes mails again')
    rest = { until: -Infinity, seconds: 0 }
  }
  const isResting = () => clock.steady() < rest.until

  const tryOne = async (row: OutboxTable, signal: AbortSignal) => {
    if (!(await takeMail(db, row, clock.now() + leaseSeconds))) return
    const taken = { ...row, tries: row.tries + 1 }
    const outcome = await bring(options, taken, signal)
    if (outcome === undefined) return
    const { kind, failure } = outcome
    counts[kind]++
    if (failure?.kind === 'away') restNow(failure)
    else workAgain()
  }
  const sendDue = async (signal: AbortSignal) => {
    while (!isResting() && !signal.aborted) {
      const due = [...(await listDueMails(db, { now: clock.now(), limit: mailsAtOnce }))]
      const isLast = due.length < mailsAtOnce
      const worker = async () => {
        for (let row = due.shift(); row && !isResting() && !signal.aborted; row = due.shift())
          await tryOne(row, signal)
      }
      await Promise.all(Array.from({ length: connectionsMax }, worker))
      if (isLast) return
    }
  }
  const look = async () => {
    const list = (keyId: string) => listMailsUnderOlderKeys(db, keyId, 100 * mailsAtOnce)
    for (const row of await rowsUnderOlderKeys(rootKeys, list)) {
      const mail = openMail(rootKeys, row)
      if (mail) await resealMail(db, row, sealMail(rootKeys, row.id, mail))
    }
    state = await readOutbox(db)
  }
  return {
    jobs: [
      { name: 'sending mails', everySeconds: tellSeconds, run: sendDue },
      { name: 'looking through the outbox', everySeconds: lookSeconds, run: look },
    ],
    metrics: [
      {
        kind: 'counter',
        name: 'mintmark_mails_total',
        help: 'Tries to send a mail, by outcome: sent, postponed, refused by the SMTP server, given_up after a day',
        labels: ['outcome'],
        samples: function* () {
          for (const [outcome, count] of Object.entries(counts)) yield [{ outcome }, count]
        },
      },
      queueLength('mail', () => state.waiting),
      gauge('mintmark_oldest_mail_seconds', 'How long the oldest mail of the outbox has waited', () =>
        state.oldestAt === null ? 0 : Math.max(0, clock.now() - state.oldestAt),
      ),
    ],
  }
}

interface Brought {
  readonly kind: Outcome
  readonly failure?: FailedDelivery
}

/** Sends a mail that was taken, lets it wait, or gives it up; undefined where another has it since. */
async function bring(
  options: OutboxOptions,
  row: OutboxTable,
  signal: AbortSignal,
): Promise<Brought | undefined> {
  const { db, rootKeys, clock, log, transport } = options
  const mail = openMail(rootKeys, row)
  const expiresAt = mail?.expiresAt ?? row.created_at + triedSeconds
  if (clock.now() >= expiresAt) return giveUp(options, row, 'it could not be sent in time')
  if (!mail && rootKeys.has(row.root_key_id)) return giveUp(options, row, 'its row was changed')
  if (!mail) {
    const lastError = `the root key ${row.root_key_id} is not in the file`
    return postpone(options, row, { expiresAt, lastError })
  }
  const { to, subject, text }: Mail = mail
  const delivery = await transport.send({ id: row.id, at: row.created_at, to, subject, text }, signal)
  if (delivery.kind === 'sent') {
    await deleteMail(db, row.id)
    return { kind: 'sent' }
  }
  const { stage, code, answer } = delivery
  if (delivery.kind !== 'refused') {
    const lastError = `${stage}: ${withoutAddresses(answer)}`
    return postpone(options, row, { expiresAt, lastError, failure: delivery })
  }
  const detail = { kind: row.kind, stage, code }
  if (!(await drop(options, row, { event: 'mail_refused', userId: row.user_id, detail }))) return undefined
  log.warn(
    { event: 'mail_refused', ...detail },
    'the SMTP server has refused a mail, which is not tried again',
  )
  return { kind: 'refused', failure: delivery }
}

/** SMTP servers repeat the recipient, who is sealed: the row has no address in clear. */
function withoutAddresses(answer: string): string {
  return answer.replace(/\S+@\S+/g, '…')
}

async function postpone(
  { db, clock }: OutboxOptions,
  row: OutboxTable,
  { expiresAt, lastError, failure }: { expiresAt: number; lastError: string; failure?: FailedDelivery },
): Promise<Brought | undefined> {
  const pause = Math.min(pauseSecondsMax, firstPauseSeconds * 2 ** Math.min(row.tries - 1, 10))
  const nextTryAt = Math.min(clock.now() + pause, expiresAt)
  if (!(await postponeMail(db, row, { nextTryAt, lastError }))) return undefined
  return { kind: 'postponed', ...(failure && { failure }) }
}

async function giveUp(
  options: OutboxOptions,
  row: OutboxTable,
  reason: Event<'mail_failed'>['detail']['reason'],
): Promise<Brought | undefined> {
  // The try that finds it too late is none.
  const detail = { kind: row.kind, tries: row.tries - 1, reason }
  if (!(await drop(options, row, { event: 'mail_failed', userId: row.user_id, detail }))) return undefined
  options.log.warn({ event: 'mail_failed', ...detail }, 'a mail was given up')
  return { kind: 'given_up' }
}

/** Takes a mail out of the outbox, and records why. */
function drop({ db, clock, log }: OutboxOptions, row: OutboxTable, event: Event): Promise<boolean> {
  return record({ db, clock, log, actor: { kind: 'server' } }, event, writer => giveMailUp(writer, row))
}
