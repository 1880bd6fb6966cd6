import { de } from './texts/de.ts'
import { en } from './texts/en.ts'
import type { Texts } from './texts/texts.ts'

/** The languages of the pages: a line and a file each. The first is for who speaks none of them. */
const languages: ReadonlyMap<string, Texts> = new Map([
  ['en', en],
  ['de', de],
])

export const languageTags: readonly string[] = [...languages.keys()]

/** A language, as its tag (RFC 5646) and its texts. */
export interface Language {
  readonly tag: string
  readonly texts: Texts
}

/**
 * The language of a page: the first of `ui_locales` that there is (OpenID Connect Core §3.1.2.1), else the
 * one that the browser accepts most (RFC 9110 §12.5.4), which `accepted` finds among `languageTags`.
 */
export function languageOf(uiLocales: readonly string[], accepted: () => string | undefined): Language {
  const wanted = uiLocales
    .map(locale => locale.toLowerCase().split('-')[0] ?? '')
    .find(tag => languages.has(tag))
  const tag = wanted ?? accepted() ?? 'en'
  return { tag, texts: languages.get(tag) ?? en }
}
