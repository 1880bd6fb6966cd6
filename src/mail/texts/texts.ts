import type { NoticeFacts, NoticeKind } from '../notice.ts'

/** Every text of the mails. A language is one file that has them all. */
export interface MailTexts {
  readonly greeting: (name: string) => string
  /** Of the change, in seconds since the epoch. */
  readonly when: (time: string) => string
  readonly time: (epochSeconds: number) => string
  /** What to do if it was somebody else. */
  readonly wasItYou: (accountUrl: string) => string
  readonly notices: { readonly [Kind in NoticeKind]: (facts: NoticeFacts[Kind]) => MailText }
  /** What is mailed as a link, or instead of one: `have_account` leads to where a password is reset. */
  readonly links: Readonly<Record<LinkMailKind, (link: LinkText) => MailText>>
  /** What `mintmark mail test` sends. */
  readonly test: MailText
}

export type LinkMailKind = 'reset' | 'invitation' | 'verification' | 'sign_up' | 'have_account'

/** Nothing of it was typed by who has asked for the mail. */
export interface LinkText {
  readonly href: string
  /** That may be typed where the mail was asked for; empty where there is none. */
  readonly code: string
  /** The user name of the account; empty where there is none. */
  readonly username: string
  /** The operator's. */
  readonly name: string
}

export interface MailText {
  readonly subject: string
  /** What has happened. */
  readonly text: string
}

/** A name that somebody has typed, so that it cannot be taken for more than a name. */
export function quoted(name: string, [open, close]: readonly [string, string]): string {
  return `${open}${name.replace(/[\p{C}\p{Z}]+/gu, ' ').slice(0, 100)}${close}`
}

/** `2026-03-09 17:05 UTC`, as `locale` writes it. */
export function mailTime(locale: string, epochSeconds: number): string {
  const format = new Intl.DateTimeFormat(locale, { dateStyle: 'long', timeStyle: 'short', timeZone: 'UTC' })
  return `${format.format(epochSeconds * 1000)} UTC`
}
