import { parseUuid } from './secrets.ts'

/**
 * Whether a user may be called so: up to 255 characters in Unicode normal form C, none of them invisible, no
 * space at the ends. It is never mistaken for a `sub`, which is a UUID.
 */
export function isUsername(text: string): boolean {
  const isFine = text.length <= 255 && /^[^\p{C}\p{Zl}\p{Zp}]+$/u.test(text) && text.trim() === text
  return isFine && text.normalize('NFC') === text && !parseUuid(text.toLowerCase())
}

/**
 * A user name as RFC 8265 §3.3 (UsernameCaseMapped) compares it: width mapping, lower case, normal form C.
 * Does not look at whether the name is one that the profile allows.
 */
export function usernameCaseMapped(name: string): string {
  return name.replace(wide, mapWidth).toLowerCase().normalize('NFC')
}

/** Characters with a decomposition for their width alone (UnicodeData.txt, `<wide>` and `<narrow>`). */
const wide = /[\u3000\uff01-\uffee]/g

/** Of these the decomposition has another one for compatibility, which is not to be followed. */
const runs: readonly (readonly [first: number, last: number, target: number])[] = [
  [0xffa0, 0xffa0, 0x3164],
  [0xffa1, 0xffbe, 0x3131],
  [0xffc2, 0xffc7, 0x314f],
  [0xffca, 0xffcf, 0x3155],
  [0xffd2, 0xffd7, 0x315b],
  [0xffda, 0xffdc, 0x3161],
  [0xffe3, 0xffe3, 0x00af],
]

function mapWidth(character: string): string {
  const code = character.charCodeAt(0)
  const run = runs.find(([first, last]) => first <= code && code <= last)
  return run ? String.fromCharCode(run[2] + code - run[0]) : character.normalize('NFKC')
}
