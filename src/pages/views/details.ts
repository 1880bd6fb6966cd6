import type { AuthorizationDetail } from '../../protocol/authorization-details.ts'
import { inLanguage, type DetailType } from '../../protocol/detail-types.ts'
import { isObject } from '../../values/json.ts'
import { html, type Html, type Piece } from '../html.ts'
import type { Frame } from '../layout.ts'

/** An authorization detail, and its type as its resource knows it; undefined where it does no more. */
export interface DetailInWords {
  readonly detail: AuthorizationDetail
  readonly type: DetailType | undefined
}

/**
 * All that is in these details, so that nothing is allowed unseen. The words of their API stand alone; all
 * that a client has written is in boxes, names of members too, so that it passes for no word of ours.
 */
export function detailList(frame: Frame, details: readonly DetailInWords[], labelledBy: string): Html {
  const items = details.map(({ detail, type }) => {
    const title = type ? inLanguage(type.title, frame.language.tag) : written(detail.type)
    const lines = rowsOf(detail).map(
      ({ path, values }) =>
        html`<dt>${labelOf(frame, type, path)}</dt><dd>${values.map(valueOf(frame))}</dd>`,
    )
    return html`<li><strong>${title}</strong>${lines.length === 0 ? null : html`<dl>${lines}</dl>`}</li>`
  })
  return html`<ul class="details" aria-labelledby="${labelledBy}">${items}</ul>`
}

type Path = readonly (string | number)[]

interface DetailRow {
  /** Names of members, and places in lists, the first is 1. */
  readonly path: Path
  /** Several of a list without lists and objects in it. */
  readonly values: readonly unknown[]
}

/** Every value of a detail; the type is its title. */
function rowsOf({ type: _, ...members }: AuthorizationDetail): readonly DetailRow[] {
  return Object.entries(members).flatMap(([name, value]) => [...rowsAt([name], value)])
}

function* rowsAt(path: Path, value: unknown): Generator<DetailRow> {
  const isList = Array.isArray(value)
  if (isList && value.length > 0 && value.every(item => typeof item !== 'object' || item === null))
    return yield { path, values: value }
  const inner: readonly (readonly [name: string | number, value: unknown])[] = isList
    ? value.map((item: unknown, i) => [i + 1, item])
    : isObject(value)
      ? Object.entries(value)
      : []
  if (inner.length === 0) return yield { path, values: [value] }
  for (const [name, item] of inner) yield* rowsAt([...path, name], item)
}

/** The words of the API, or the names that the client has sent. */
function labelOf({ language }: Frame, type: DetailType | undefined, path: Path): Piece {
  const { details: texts } = language.texts.consent
  if (path.length === 1 && path[0] === 'locations') return texts.locations
  const names = path.filter(name => typeof name === 'string')
  // One with a dot in it could pass for the path of another.
  const name = names.some(one => one.includes('.')) ? '' : names.join('.')
  const words = type?.labels && Object.hasOwn(type.labels, name) ? type.labels[name] : undefined
  if (words === undefined)
    return html`${path.map(one => (typeof one === 'number' ? html`${one} ` : html`${written(one)} `))}`
  const places = path.filter(one => typeof one === 'number')
  return html`${inLanguage(words, language.tag)} ${places.join(', ')}`
}

function valueOf({ language }: Frame): (value: unknown) => Html {
  const { details: texts } = language.texts.consent
  return value => {
    if (typeof value === 'string' && value !== '') return written(value)
    if (typeof value === 'boolean') return html`<span>${value ? texts.yes : texts.no}</span>`
    return typeof value === 'number' ? written(String(value)) : html`<span>${texts.empty}</span>`
  }
}

/** Characters that show nothing, or turn others around, and spaces that are not the usual one. */
const unseen = /([\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]|(?! )\p{Zs})/u

/** A text of a client. What cannot be seen in it is written out: no two texts look the same by that. */
function written(text: string): Html {
  const pieces = text.split(unseen)
  return html`<bdi>${pieces.map((piece, i) => (i % 2 === 1 ? html`<b>${nameOfCharacter(piece)}</b>` : html`${piece}`))}</bdi>`
}

function nameOfCharacter(character: string): string {
  return `U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`
}
