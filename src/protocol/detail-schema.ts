import { areTexts, isObject } from '../values/json.ts'
import { canonicalJson } from '../values/strict-json.ts'

/*
 * The part of JSON Schema (draft 2020-12) that an API may describe its authorization details with. A keyword
 * without a row here is refused when it is registered, so that none counts for nothing. There are no
 * references and no regular expressions: no check takes long.
 */

/** A schema that `schemaProblem` has found nothing wrong with. */
export type DetailSchema = Readonly<Record<string, unknown>>

interface Keyword {
  /** For the sentence that refuses another value. */
  readonly takes: string
  readonly isTaken: (argument: unknown) => boolean
  /** The schemas in it. */
  readonly inner?: (argument: unknown) => readonly (readonly [name: string, schema: unknown])[]
  /** Whether a value is as it says; one of another type is. */
  readonly holds: (value: unknown, argument: unknown, schema: DetailSchema) => boolean
}

const isCount = (argument: unknown) => Number.isSafeInteger(argument) && Number(argument) >= 0

const ofCount = (
  count: (value: unknown) => number | undefined,
  isWithin: (counted: number, limit: number) => boolean,
): Keyword => ({
  takes: 'a count',
  isTaken: isCount,
  holds: (value, limit) => {
    const counted = count(value)
    return counted === undefined || isWithin(counted, Number(limit))
  },
})

const ofNumber = (isWithin: (value: number, limit: number) => boolean): Keyword => ({
  takes: 'a number',
  isTaken: Number.isFinite,
  holds: (value, limit) => typeof value !== 'number' || isWithin(value, Number(limit)),
})

/** In characters of Unicode. */
const lengthOf = (value: unknown) => (typeof value === 'string' ? [...value].length : undefined)
const itemsIn = (value: unknown) => (Array.isArray(value) ? value.length : undefined)
const atLeast = (counted: number, limit: number) => counted >= limit
const atMost = (counted: number, limit: number) => counted <= limit

const annotation: Keyword = {
  takes: 'a text',
  isTaken: argument => typeof argument === 'string',
  holds: () => true,
}

const typeNames = ['object', 'array', 'string', 'number', 'integer', 'boolean', 'null']

function isOfType(value: unknown, name: string): boolean {
  if (name === 'integer') return Number.isInteger(value)
  if (name === 'null') return value === null
  if (name === 'array') return Array.isArray(value)
  return name === 'object' ? isObject(value) : typeof value === name
}

const namesOf = (argument: unknown) => (Array.isArray(argument) ? argument.map(String) : [String(argument)])

const keywords: Readonly<Record<string, Keyword>> = {
  type: {
    takes: `one or some of ${typeNames.join(', ')}`,
    isTaken: argument =>
      (typeof argument === 'string' || (areTexts(argument) && argument.length > 0)) &&
      namesOf(argument).every(name => typeNames.includes(name)),
    holds: (value, argument) => namesOf(argument).some(name => isOfType(value, name)),
  },
  enum: {
    takes: 'a list of values',
    isTaken: argument => Array.isArray(argument) && argument.length > 0,
    holds: (value, argument) => Array.isArray(argument) && textsOf(argument).has(canonicalJson(value)),
  },
  const: {
    takes: 'a value',
    isTaken: () => true,
    holds: (value, argument) => canonicalJson(argument) === canonicalJson(value),
  },
  properties: {
    takes: 'an object of schemas',
    isTaken: isObject,
    inner: argument => (isObject(argument) ? Object.entries(argument) : []),
    holds: (value, argument) =>
      !isObject(value) ||
      !isObject(argument) ||
      Object.keys(value).every(name => !has(argument, name) || fits(argument[name], value[name])),
  },
  required: {
    takes: 'a list of names',
    isTaken: areTexts,
    holds: (value, argument) => !isObject(value) || namesOf(argument).every(name => has(value, name)),
  },
  additionalProperties: {
    takes: 'true, false or a schema',
    isTaken: argument => typeof argument === 'boolean' || isObject(argument),
    inner: argument => (typeof argument === 'boolean' ? [] : [['', argument]]),
    holds: (value, argument, { properties }) => {
      if (!isObject(value) || argument === true) return true
      const others = Object.keys(value).filter(name => !isObject(properties) || !has(properties, name))
      return others.every(name => argument !== false && fits(argument, value[name]))
    },
  },
  items: {
    takes: 'a schema',
    isTaken: isObject,
    inner: argument => [['', argument]],
    holds: (value, argument) => !Array.isArray(value) || value.every(item => fits(argument, item)),
  },
  uniqueItems: {
    takes: 'true or false',
    isTaken: argument => typeof argument === 'boolean',
    holds: (value, argument) =>
      !Array.isArray(value) || argument !== true || new Set(value.map(canonicalJson)).size === value.length,
  },
  minItems: ofCount(itemsIn, atLeast),
  maxItems: ofCount(itemsIn, atMost),
  minLength: ofCount(lengthOf, atLeast),
  maxLength: ofCount(lengthOf, atMost),
  minimum: ofNumber(atLeast),
  maximum: ofNumber(atMost),
  exclusiveMinimum: ofNumber((value, limit) => value > limit),
  exclusiveMaximum: ofNumber((value, limit) => value < limit),
  title: annotation,
  description: annotation,
  $schema: annotation,
  $comment: annotation,
}

/** How deep schemas may be nested: deeper than any detail. */
const depthMax = 8

/** Why a value is no schema of a detail, in a sentence that begins with the place; undefined for a schema. */
export function schemaProblem(schema: unknown, path: string): string | undefined {
  const problem = problemIn(schema, path, 1)
  if (problem !== undefined || !isObject(schema)) return problem
  return schema['type'] === 'object' ? undefined : `${path}.type must be object`
}

function problemIn(schema: unknown, path: string, depth: number): string | undefined {
  if (!isObject(schema)) return `${path} takes an object`
  if (depth > depthMax) return `${path} is nested deeper than ${depthMax} schemas`
  for (const [name, argument] of Object.entries(schema)) {
    const keyword = has(keywords, name) ? keywords[name] : undefined
    if (!keyword)
      return `${path} has ${JSON.stringify(name)}, and takes ${Object.keys(keywords).join(', ')} alone`
    if (!keyword.isTaken(argument)) return `${path}.${name} takes ${keyword.takes}`
    for (const [member, inner] of keyword.inner?.(argument) ?? []) {
      const problem = problemIn(inner, [path, name, member].filter(Boolean).join('.'), depth + 1)
      if (problem !== undefined) return problem
    }
  }
  return undefined
}

/** Whether a value is as a schema says in which there is nothing wrong. */
export function fits(schema: unknown, value: unknown): boolean {
  if (!isObject(schema)) return false
  return Object.entries(schema).every(([name, argument]) => keywords[name]?.holds(value, argument, schema))
}

/** A long list is read once, since a client may send as long a list of values that are in it. */
const enumTexts = new WeakMap<readonly unknown[], ReadonlySet<string>>()

function textsOf(values: readonly unknown[]): ReadonlySet<string> {
  const texts = enumTexts.get(values) ?? new Set(values.map(canonicalJson))
  enumTexts.set(values, texts)
  return texts
}

const has = (object: object, name: string) => Object.hasOwn(object, name)
