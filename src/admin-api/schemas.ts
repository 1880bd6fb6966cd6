import type { FastifySchemaCompiler } from 'fastify'
import Type, { type TSchema } from 'typebox'
import Compile, { type Validator } from 'typebox/compile'
import Value from 'typebox/value'
import { Refusal } from '../errors.ts'
import { timeText } from '../values/formats.ts'
import { isObject } from '../values/json.ts'

/**
 * Checks what was sent against a schema; a text of the URL becomes the number or truth value that it says.
 */
export const compileSchema: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const isText = httpPart === 'querystring' || httpPart === 'params' || httpPart === 'headers'
  const others = isText ? otherThanTexts(schema) : []
  // Most are never asked for by a given server, and compiling takes a moment.
  let compiled: Validator | undefined
  return (sent: unknown) => {
    compiled ??= Compile(schema)
    // Without a body there is nothing that it says.
    const value = others.length === 0 ? (sent ?? {}) : withValues(sent, others)
    if (!compiled.Check(value)) return { error: Value.Errors(schema, value) as never }
    // The parser of HTTP lets none into a header.
    const instancePath = httpPart === 'headers' ? undefined : pathOfNul(value)
    if (instancePath === undefined) return { value }
    return { error: [{ instancePath, message: 'no text may hold the character U+0000' }] as never }
  }
}

type Reader = (text: unknown) => unknown

/** The parameters that say a number or a truth value, each with what reads it. */
function otherThanTexts(schema: TSchema): readonly (readonly [name: string, read: Reader])[] {
  const { properties }: { readonly properties?: Readonly<Record<string, TSchema>> } = Object(schema)
  return Object.entries(properties ?? {}).flatMap(([name, property]) => {
    if (Type.IsInteger(property)) return [[name, readInteger] as const]
    return Type.IsBoolean(property) ? [[name, readBoolean] as const] : []
  })
}

/** Any other text stays one, and is refused as no such value: `limit=true` is not 1. */
const readInteger: Reader = text =>
  typeof text === 'string' && /^-?\d{1,15}$/.test(text) ? Number(text) : text
const readBoolean: Reader = text => (text === 'true' ? true : text === 'false' ? false : text)

function withValues(sent: unknown, others: ReturnType<typeof otherThanTexts>): object {
  const value: Record<string, unknown> = { ...Object(sent) }
  for (const [name, read] of others) if (name in value) value[name] = read(value[name])
  return value
}

/** Where a text has a character that PostgreSQL stores in none, as a JSON Pointer (RFC 6901). */
function pathOfNul(value: unknown, path = ''): string | undefined {
  if (typeof value === 'string') return value.includes('\0') ? path : undefined
  if (typeof value !== 'object' || value === null) return undefined
  for (const [name, member] of Object.entries(value)) {
    const found = pathOfNul(member, `${path}/${name}`)
    if (found !== undefined) return found
  }
  return undefined
}

/** RFC 3339, in UTC. */
export const Time = Type.String({ format: 'date-time', description: 'RFC 3339, in UTC' })

/** The first whole second that is not before a time which was sent; undefined for none. */
export function secondsOf(field: string, time: string | undefined): number | undefined {
  if (time === undefined) return undefined
  const seconds = Math.ceil(Date.parse(time) / 1000)
  if (Number.isFinite(seconds)) return seconds
  throw new Refusal('invalid', `${field} is no time such as 2030-03-17T17:46:40Z`, undefined, field)
}

export const Uuid = Type.String({
  pattern: '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$',
  maxLength: 36,
  description: 'a UUID in lower case',
})

/** A text with room in a URL: percent-encoded, ASCII takes three bytes a character, others up to 12. */
export const inUrl = { pattern: '^[\\x20-\\x7e]*$' } as const

/** A time that is sent. */
export const sentTime = (description: string) =>
  Type.Optional(Type.String({ format: 'date-time', maxLength: 40, description }))

export const TimeOrNull = Type.Union([Time, Type.Null()])

/** Sentences about what to know of an object that was made or changed. */
export const Warnings = Type.Array(Type.String(), { description: 'what to know of it' })

/** A change of algorithms that is under way: members of an answer that are there only then. */
export const algChangeMembers = {
  signs_with: Type.Optional(Type.String({ description: 'the algorithm that signs until then' })),
  alg_signs_from: Type.Optional(Time),
}

/** A problem document (RFC 9457). */
export const Problem = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer(),
    code: Type.String({ description: 'what went wrong, for programs' }),
    detail: Type.String({ description: 'what went wrong, for people' }),
    field: Type.Optional(Type.String({ description: 'the member or parameter that is wrong' })),
    request_id: Type.String(),
  },
  { description: 'RFC 9457' },
)

/** The parameters of every list. */
export const pageParameters = {
  limit: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 200, description: 'how many at the most; 50 unless told' }),
  ),
  after: Type.Optional(Type.String({ ...inUrl, maxLength: 512, description: '`next` of the page before' })),
}

/** One page of a list. */
export function pageOf<Item extends TSchema>(item: Item) {
  const { title }: { readonly title?: string } = item
  return Type.Object(
    {
      items: Type.Array(item),
      next: Type.Union([Type.String(), Type.Null()], {
        description: '`after` of the next page; null after the last',
      }),
    },
    title === undefined ? {} : { title: `${title}Page` },
  )
}

/** What others have written: a claim, a key, or the facts of an event, is shown as it is. */
const asWritten = new Set(['claims', 'detail', 'jwks'])

/** A document with its times, which acts have in seconds since the epoch, as RFC 3339. */
export function withTimes(value: unknown, name = ''): unknown {
  if (typeof value === 'number' && /^(?:at|from|until|auth_time|.*_(?:at|from|until))$/.test(name))
    return timeText(value)
  if (Array.isArray(value)) return value.map(item => withTimes(item))
  if (!isObject(value) || asWritten.has(name)) return value
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, withTimes(member, name)]))
}
