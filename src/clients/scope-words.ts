import { isScopeToken } from '../protocol/scope.ts'
import { isObject } from '../values/json.ts'
import { itemsOf } from '../values/list.ts'
import { isShownText } from '../values/shown-text.ts'
import type { JsonKind, Kind } from './property-kinds.ts'
import type { Resource } from './registry.ts'

/** What the page that asks for consent says for a scope of a resource, by its name. */
export type ScopeWords = Readonly<Record<string, string>>

const lengthMax = 200

/** The answer to other words. */
export const wordsSentence = `The words of a scope are up to ${lengthMax} characters, none of them invisible, and no space at the ends.`

export function areWords(text: string): boolean {
  return isShownText(text, lengthMax)
}

/** The words of scopes; in a column JSON. */
export const scopeWords: JsonKind<ScopeWords> & Pick<Kind<ScopeWords, string>, 'toColumn' | 'fromColumn'> = {
  fallback: {},
  takes: `scopes with words for each: up to ${lengthMax} characters, none of them invisible, no space at the ends`,
  schema: { type: 'object', additionalProperties: { type: 'string', maxLength: lengthMax } },
  fromFile: declared => (isScopeWords(declared) ? declared : undefined),
  toColumn: words => JSON.stringify(words),
  // Without the words of a damaged row its scopes are shown by their names.
  fromColumn: stored => readWords(stored) ?? {},
}

/** Changes of the words of scopes: null, which is here an empty text, takes those of one away. */
export const scopeWordChanges: JsonKind<ScopeWords> = {
  fallback: {},
  takes: `${scopeWords.takes}, or null for none`,
  schema: { type: 'object', additionalProperties: { type: ['string', 'null'], maxLength: lengthMax } },
  fromFile: declared => {
    if (!isObject(declared)) return undefined
    const entries = Object.entries(declared)
    const isGood = isScopeWords(Object.fromEntries(entries.filter(([, words]) => words !== null)))
    return isGood && entries.every(([name]) => isScopeToken(name))
      ? Object.fromEntries(entries.map(([name, words]) => [name, String(words ?? '')]))
      : undefined
  },
}

/** Refuses words for what is no scope of it; undefined where all are. */
export function strayWords({
  scope,
  scope_words: words,
}: {
  readonly scope: readonly string[]
  readonly scope_words: ScopeWords
}) {
  const unknown = Object.keys(words).filter(name => words[name] !== '' && !scope.includes(name))
  return unknown.length === 0
    ? undefined
    : `scope_words has words for ${unknown.join(', ')}, which its scope has not`
}

/** Whether a column holds what `scopeWords` reads. */
export function isStoredWords(stored: unknown): boolean {
  return typeof stored === 'string' && readWords(stored) !== undefined
}

/** The words of those scopes alone, in their order, so that the same words are the same text. */
export function wordsAmong(scope: readonly string[], words: ScopeWords): ScopeWords {
  return Object.fromEntries(
    scope.flatMap(name => (Object.hasOwn(words, name) ? [[name, words[name] ?? '']] : [])),
  )
}

/**
 * What is said for a scope that may be meant for any of these resources: the words of each that knows it,
 * where they differ; null for its name alone.
 */
export function wordsOf(
  resources: readonly Pick<Resource, 'scope' | 'scope_words'>[],
  name: string,
): readonly (string | null)[] {
  const said = resources
    .filter(({ scope }) => itemsOf(scope).includes(name))
    .map(({ scope_words }) => wordsAmong([name], scopeWords.fromColumn(scope_words))[name] ?? null)
  return said.length === 0 ? [null] : [...new Set(said)]
}

function readWords(stored: string): ScopeWords | undefined {
  try {
    const words: unknown = JSON.parse(stored)
    return isScopeWords(words) ? words : undefined
  } catch {
    return undefined
  }
}

function isScopeWords(value: unknown): value is ScopeWords {
  return (
    isObject(value) &&
    Object.entries(value).every(
      ([name, words]) => isScopeToken(name) && typeof words === 'string' && areWords(words),
    )
  )
}
