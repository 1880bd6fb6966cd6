import type { Config } from '../config/load.ts'
import { sha256 } from '../values/sha256.ts'
import { readableOn } from '../values/colors.ts'
import { constantMarkup, html, type Html } from './html.ts'
import { monogram, readLogo, type Picture } from './logo.ts'
import { styleOf } from './style.ts'

/** How the pages of this installation look, the same on each of them. */
export interface Look {
  /** The operator's name. */
  readonly name: string
  /** What stands above each page beside the name, or instead of it. */
  readonly logo: Html
  /** The logo as a file, which browsers show in their tabs too. */
  readonly picture: Picture
  readonly pictureAddress: string
  /** The style sheet, as an element. */
  readonly style: Html
  /** Its source in a Content-Security-Policy. */
  readonly styleSource: string
  /** The path of the issuer, before which nothing of ours is: empty, or like `/auth`. */
  readonly base: string
}

/** Where the logo is, below the issuer. */
export const logoPath = '/logo'

/** Reads the logo. Throws a `ConfigError`. */
export function openLook({ name, color, logoFile, issuer }: Config): Look {
  const base = new URL(issuer).pathname.replace(/\/$/, '')
  const letter = firstLetter(name)
  const picture =
    logoFile === undefined ? monogram(letter, { color, onColor: readableOn(color) }) : readLogo(logoFile)
  const pictureAddress = `${base}${logoPath}?v=${picture.version}`
  const sheet = styleOf(color)
  return {
    name,
    logo:
      logoFile === undefined
        ? html`<span class="mark" aria-hidden="true">${letter}</span>`
        : html`<img src="${pictureAddress}" alt="">`,
    picture,
    pictureAddress,
    style: html`<style>${constantMarkup(sheet)}</style>`,
    styleSource: sourceOf(sheet),
    base,
  }
}

/** The source of something that stands in a page itself (Content Security Policy Level 3 §2.3.1). */
export function sourceOf(content: string): string {
  return `'sha256-${sha256(content).toString('base64')}'`
}

/** As people see letters: one may be of several characters. */
function firstLetter(name: string): string {
  const [first] = new Intl.Segmenter().segment(name)
  return (first?.segment ?? '').toUpperCase()
}
