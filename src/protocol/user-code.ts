import { randomInt } from 'node:crypto'

/*
 * The code that a device shows and a person types (RFC 8628 §6.1): nine letters, in threes. There are no
 * vowels among them, so that they make no words, and nothing that looks like a digit.
 */

const letters = 'BCDFGHJKLMNPQRSTVWXZ'
const length = 9

/** One of 20^9 codes: 38.9 bits. */
export function newUserCode(): string {
  return Array.from({ length }, () => letters.charAt(randomInt(letters.length))).join('')
}

/** As it is shown: `BCD-FGH-JKL`. */
export function formatUserCode(code: string): string {
  return code.replace(/...(?=.)/g, '$&-')
}

/** Longer than anything that a person types for one. */
const typedMax = 64

/** The code that was typed, in whichever case, with or without dashes and spaces; undefined for none. */
export function readUserCode(typed: string): string | undefined {
  if (typed.length > typedMax) return undefined
  const code = typed
    .normalize('NFKC')
    .replace(/[\s\p{Pd}.]/gu, '')
    .toUpperCase()
  const isCode = code.length === length && [...code].every(letter => letters.includes(letter))
  return isCode ? code : undefined
}
