import type { OutboxTable } from '../../db/schema.ts'
import type { Clock } from '../clock.ts'
import type { Config } from '../config/load.ts'
import type { RootKeys } from '../keys/root/root-key.ts'
import { newUuid } from '../protocol/secrets.ts'
import { isObject } from '../values/json.ts'
import type { NoticeKind } from './notice.ts'

/** Makes mails for the outbox. There is one where mails can be sent, or shown. */
export interface MailServices {
  /**
   * The row of a mail: `Recorder.mails` takes it, so that it is written together with what it tells of, or
   * not at all.
   */
  compose(mail: NewMail): OutboxTable
}

/** What a mail is about: a notice of a change, or a link that somebody has asked for. */
export type MailKind = NoticeKind | 'verification' | 'invitation' | 'reset' | 'sign_up' | 'test'

export interface NewMail {
  readonly kind: MailKind
  /** Null where there is no such user yet. */
  readonly userId: Buffer | null
  /** As `mailAddress` gives it. */
  readonly to: string
  readonly subject: string
  /** Plain text. The name of the operator is put below it. */
  readonly text: string
  /** From when on its link is of no use, in seconds since the epoch: later it is not sent any more. */
  readonly expiresAt?: number
}

/** What is sealed in a row. */
export interface Mail {
  readonly to: string
  readonly subject: string
  readonly text: string
  readonly expiresAt: number
}

/** So long it is tried to send a mail. */
export const triedSeconds = 86_400

const purpose = 'mail'

export interface MailOptions {
  readonly config: Config
  readonly rootKeys: Pick<RootKeys, 'seal'>
  readonly clock: Pick<Clock, 'now'>
}

export function openMailServices({ config, rootKeys, clock }: MailOptions): MailServices {
  return {
    compose: ({ kind, userId, to, subject, text, expiresAt = Infinity }) => {
      const now = clock.now()
      const id = newUuid(now)
      const mail: Mail = {
        to,
        subject,
        text: signed(config, text),
        expiresAt: Math.min(expiresAt, now + triedSeconds),
      }
      const facts = { kind, user_id: userId, created_at: now, next_try_at: now, tries: 0, last_error: null }
      return { id, ...facts, ...sealMail(rootKeys, id, mail) }
    },
  }
}

/** The text, and below it from whom it comes. */
export function signed({ name, issuer }: Pick<Config, 'name' | 'issuer'>, text: string): string {
  return `${text.trim()}\n\n-- \n${name}\n${issuer}\n`
}

/** Seals a mail for its row: in no other row it can be opened. */
export function sealMail(
  rootKeys: Pick<RootKeys, 'seal'>,
  id: Buffer,
  mail: Mail,
): Pick<OutboxTable, 'sealed' | 'root_key_id'> {
  const { rootKeyId, sealed } = rootKeys.seal(purpose, id.toString('hex'), Buffer.from(JSON.stringify(mail)))
  return { sealed, root_key_id: rootKeyId }
}

/** The mail of a row; undefined where its root key is gone, or the row was changed. */
export function openMail(
  rootKeys: Pick<RootKeys, 'open'>,
  { id, root_key_id, sealed }: Pick<OutboxTable, 'id' | 'root_key_id' | 'sealed'>,
): Mail | undefined {
  const content = rootKeys.open(purpose, id.toString('hex'), root_key_id, sealed)
  const mail: unknown = content && JSON.parse(content.toString())
  // Authenticated: only we can have written it.
  return isObject(mail) ? (mail as unknown as Mail) : undefined
}
