import { de } from './texts/de.ts'
import { en } from './texts/en.ts'
import type { MailTexts } from './texts/texts.ts'

/** The languages of the mails: a line and a file each. */
const languages: Readonly<Record<string, MailTexts>> = { en, de }

/** The texts of a language, by its tag (RFC 5646); English where there are none, or no language is known. */
export function mailTextsOf(locale: string | undefined): MailTexts {
  const tag = (locale ?? '').toLowerCase().split('-')[0] ?? ''
  return Object.hasOwn(languages, tag) ? (languages[tag] ?? en) : en
}
