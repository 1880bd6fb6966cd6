import { itemsOf } from '../values/list.ts'
import { list, type Kind } from './property-kinds.ts'

/** The claims that a resource or a client may want beside those that it has in any case. */
export const claimsToWant: readonly string[] = ['roles', 'groups']

export function isWish(name: string): boolean {
  return claimsToWant.includes(name)
}

/** The answer to another text. */
export const wishSentence = `A claim is one of ${claimsToWant.join(', ')}.`

const names = list(isWish, { takes: `claims: ${claimsToWant.join(' and ')}`, sentence: wishSentence })

/** The claims that a client wants. */
export const clientWishes: Kind<readonly string[], string> = names

/** The claims that a resource wants; null where it has not said so. */
export const wishes: Kind<readonly string[] | null, string | null> = {
  ...names,
  fallback: null,
  schema: { type: ['array', 'null'], items: { type: 'string' } },
  fromFile: declared => (declared === null ? null : names.fromFile(declared)),
  fromOption: given => (Array.isArray(given) ? names.fromOption(given) : []),
  toColumn: value => value && value.join(' '),
  fromColumn: stored => (stored === null ? null : itemsOf(stored)),
}
