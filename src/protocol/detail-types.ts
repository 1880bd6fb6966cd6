import { isObject } from '../values/json.ts'
import { isShownText } from '../values/shown-text.ts'
import { canonicalJson } from '../values/strict-json.ts'
import { fits, schemaProblem, type DetailSchema } from './detail-schema.ts'

/** One text in some languages, by their tags: `{ "en": "Pay", "de": "Zahlen" }`. */
export type Words = Readonly<Record<string, string>>

/** A type of authorization details (RFC 9396 §2), as its API registers it. */
export interface DetailType {
  /** What people read above a detail of it. */
  readonly title: Words
  /** What they read before a member, by its path: `amount.currency`. */
  readonly labels?: Readonly<Record<string, Words>>
  /** Of a whole detail; `type` and `locations` need not be told. */
  readonly schema: DetailSchema
}

/** The types of one API by their names. */
export type DetailTypes = Readonly<Record<string, DetailType>>

/** How many an API may have, and how long all of them together, in bytes of JSON. */
export const detailTypesMax = 20
export const detailTypesBytesMax = 16_384

const nameForm = /^[\x21\x23-\x5b\x5d-\x7e]{1,128}$/

/** Whether a text can name a type: so that a list of names can have spaces between them. */
export function isDetailTypeName(text: string): boolean {
  return nameForm.test(text)
}

/** The answer to another text. */
export const detailTypeSentence =
  'A type is up to 128 visible ASCII characters without quotes and backslashes.'

const lengthMax = 200

/** Why these cannot be the types of an API, in one sentence; undefined where they can. */
export function detailTypesProblem(types: unknown): string | undefined {
  if (!isObject(types)) return 'authorization_details_types takes an object with types by their names'
  const names = Object.keys(types)
  if (names.length > detailTypesMax)
    return `authorization_details_types has ${names.length} types, and takes ${detailTypesMax} at the most`
  if (Buffer.byteLength(canonicalJson(types)) > detailTypesBytesMax)
    return `authorization_details_types takes ${detailTypesBytesMax} bytes of JSON at the most`
  for (const name of names) {
    if (!isDetailTypeName(name) || name === '__proto__')
      return `authorization_details_types has ${JSON.stringify(name)}. ${detailTypeSentence}`
    const problem = typeProblem(types[name], `authorization_details_types.${name}`)
    if (problem !== undefined) return problem
  }
  return undefined
}

function typeProblem(type: unknown, path: string): string | undefined {
  if (!isObject(type)) return `${path} takes an object with title, labels and schema`
  const { title, labels = {}, schema, ...others } = type
  const [other] = Object.keys(others)
  if (other !== undefined) return `${path} has ${JSON.stringify(other)}, and takes title, labels and schema`
  if (!areWords(title)) return `${path}.title takes ${takesWords}`
  if (!isObject(labels)) return `${path}.labels takes an object with words for paths of members`
  for (const [member, words] of Object.entries(labels))
    if (!areWords(words)) return `${path}.labels[${JSON.stringify(member)}] takes ${takesWords}`
  return schemaProblem(schema, `${path}.schema`)
}

const takesWords = `texts by their languages, like {"en": "Pay"}: up to ${lengthMax} characters, none of them invisible`

function areWords(words: unknown): words is Words {
  return (
    isObject(words) &&
    Object.keys(words).length > 0 &&
    Object.entries(words).every(
      ([tag, text]) =>
        /^[a-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,2}$/.test(tag) &&
        typeof text === 'string' &&
        isShownText(text, lengthMax),
    )
  )
}

/** The text in a language, or in English, or in whichever there is. */
export function inLanguage(words: Words, tag: string): string {
  const own = [tag, 'en'].find(one => Object.hasOwn(words, one))
  return (own === undefined ? Object.values(words)[0] : words[own]) ?? ''
}

/** The column of a resource. */
export interface WithDetailTypes {
  /** JSON that `detailTypesProblem` has found nothing wrong with. */
  readonly authorization_details_types: string
}

/** The rows of the registry stay the same until something changes. */
const known = new WeakMap<WithDetailTypes, DetailTypes>()

/** The types of a resource. */
export function detailTypesOf(resource: WithDetailTypes): DetailTypes {
  const read = known.get(resource) ?? readDetailTypes(resource.authorization_details_types)
  known.set(resource, read)
  return read
}

/** The types in a column; none where it is damaged. */
export function readDetailTypes(stored: string): DetailTypes {
  return storedDetailTypes(stored) ?? {}
}

/** The types in a column; undefined where it is damaged. */
export function storedDetailTypes(stored: string): DetailTypes | undefined {
  try {
    const types: unknown = JSON.parse(stored)
    return detailTypesProblem(types) === undefined ? (types as DetailTypes) : undefined
  } catch {
    return undefined // it is not JSON
  }
}

/** The type of this name; undefined where the resource has none. */
export function findDetailType(resource: WithDetailTypes, name: string): DetailType | undefined {
  const types = detailTypesOf(resource)
  return Object.hasOwn(types, name) ? types[name] : undefined
}

/** Members that a detail of any type may have, in the same form (RFC 9396 §2.2). */
const common = { type: {}, locations: {} }

/** Whether a detail is as the schema of its type says. */
export function isOfSchema({ schema }: DetailType, detail: object): boolean {
  const own = isObject(schema['properties']) ? schema['properties'] : {}
  return fits({ ...schema, properties: { ...common, ...own } }, detail)
}
