import { parseDuration } from '../values/duration.ts'
import { areTexts, isObject } from '../values/json.ts'
import { itemsOf } from '../values/list.ts'

/** A JSON Schema (of OpenAPI 3.1). */
export type JsonSchema = Readonly<Record<string, unknown>>

/**
 * A form that the value of a property may have: in the code, in a column (`Stored`), in a file for `apply`,
 * in the JSON of the admin API, and as an option of the command line.
 */
export interface Kind<Value, Stored> {
  /** The value of a property of which nothing is said. */
  readonly fallback: Value
  /** For the sentence that refuses another value in a file: `true or false`. */
  readonly takes: string
  readonly argument: Argument
  /** Of its form in JSON; `fromFile` looks closer. */
  readonly schema: JsonSchema
  /** The value that a file declares; undefined where it is of another kind. */
  fromFile(declared: unknown): Value | undefined
  /** The value that an option gives, as its reader has read it; false is `--no-…`. */
  fromOption(given: unknown): Value
  toColumn(value: Value): Stored
  fromColumn(stored: Stored): Value
}

/** The argument of an option. `sentence` refuses another item. */
export type Argument =
  | { readonly form: 'none' | 'text' }
  | { readonly form: 'choice'; readonly choices: readonly string[]; readonly fallback: string }
  | { readonly form: 'items'; readonly isItem: (text: string) => boolean; readonly sentence: string }
  | { readonly form: 'duration'; readonly min: number; readonly max: number }

/** True or false; in a column 1 or 0. */
export const flag: Kind<boolean, number> = {
  fallback: false,
  takes: 'true or false',
  argument: { form: 'none' },
  schema: { type: 'boolean' },
  fromFile: declared => (typeof declared === 'boolean' ? declared : undefined),
  fromOption: given => given === true,
  toColumn: value => (value ? 1 : 0),
  fromColumn: stored => stored === 1,
}

/** A flag that is set by an option with a word: `--dpop required`. */
export const requirement: Kind<boolean, number> = {
  ...flag,
  argument: { form: 'choice', choices: ['optional', 'required'], fallback: 'optional' },
  fromOption: given => given === 'required',
}

export function choice<const Choice extends string>(
  choices: readonly Choice[],
  fallback: NoInfer<Choice>,
): Kind<Choice, Choice> {
  const find = (value: unknown) => choices.find(choice => choice === value)
  return {
    fallback,
    takes: `one of ${choices.join(', ')}`,
    argument: { form: 'choice', choices, fallback },
    schema: { type: 'string', enum: choices },
    fromFile: find,
    fromOption: given => find(given) ?? fallback,
    toColumn: value => value,
    fromColumn: stored => stored,
  }
}

/** Items without spaces, each once; in a column separated by spaces, and so they may be in a file. */
export function list(
  isItem: (text: string) => boolean,
  {
    takes,
    sentence,
    isDeclarable = isItem,
    spell = item => item,
  }: {
    /** The items, for the sentence that refuses others in a file. */
    readonly takes: string
    /** That refuses another item of an option. */
    readonly sentence: string
    /** Whether a file may have it; `judgeClient` says more of it than this. */
    readonly isDeclarable?: (text: string) => boolean
    /** The one spelling of an item that may be given in several. */
    readonly spell?: (text: string) => string
  },
): Kind<readonly string[], string> {
  return {
    fallback: [],
    takes: `a list of ${takes}`,
    argument: { form: 'items', isItem, sentence },
    schema: { type: 'array', items: { type: 'string' } },
    fromFile: declared => {
      const items: unknown = typeof declared === 'string' ? declared.split(/\s+/).filter(Boolean) : declared
      return areTexts(items) && items.every(isDeclarable) ? [...new Set(items.map(spell))] : undefined
    },
    fromOption: given => (areTexts(given) ? [...new Set(given.map(spell))] : []),
    toColumn: items => items.join(' '),
    fromColumn: itemsOf,
  }
}

/** Seconds, or a text like `30d`; null where the server's setting counts. */
export function duration(min: number, max: number): Kind<number | null, number | null> {
  return {
    fallback: null,
    takes: `a duration from ${min} to ${max} seconds, like 300, 90s, 5m, 12h or 30d`,
    argument: { form: 'duration', min, max },
    schema: { type: ['integer', 'null'], minimum: min, maximum: max },
    fromFile: declared => {
      if (declared === null) return null
      const seconds = typeof declared === 'number' ? declared : parseDuration(String(declared))
      return seconds !== undefined && Number.isInteger(seconds) && seconds >= min && seconds <= max
        ? seconds
        : undefined
    },
    fromOption: given => (typeof given === 'number' ? given : null),
    toColumn: seconds => seconds,
    fromColumn: stored => stored,
  }
}

/** A text, or null. */
export function text(takes: string): Kind<string | null, string | null> {
  return {
    fallback: null,
    takes,
    argument: { form: 'text' },
    schema: { type: ['string', 'null'] },
    fromFile: declared => (declared === null || typeof declared === 'string' ? declared : undefined),
    fromOption: given => (typeof given === 'string' ? given : null),
    toColumn: value => value,
    fromColumn: stored => stored,
  }
}

/** A JSON object, or null; in a column its text. */
export const object: Kind<object | null, string | null> = {
  fallback: null,
  takes: 'an object',
  argument: { form: 'text' },
  schema: { type: ['object', 'null'] },
  fromFile: declared => (declared === null || isObject(declared) ? declared : undefined),
  fromOption: given => (isObject(given) ? given : null),
  toColumn: value => value && JSON.stringify(value),
  fromColumn: stored => {
    const value: unknown = JSON.parse(stored ?? 'null')
    return isObject(value) ? value : null
  },
}

/** The part of a kind that reads JSON. */
export type JsonKind<Value> = Pick<Kind<Value, unknown>, 'fallback' | 'takes' | 'schema' | 'fromFile'>
