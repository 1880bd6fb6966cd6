import { parseUuid } from './secrets.ts'

/** In UTF-16 units, as in the requests and rows that have it. */
export const usernameMaxLength = 255

/**
 * Whether there may be a user of this name: up to 255 characters in Unicode normal form C, none of them
 * invisible, no space at the ends. It is never mistaken for a `sub`, which is a UUID.
 */
export function isUsername(text: string): boolean {
  const isFine =
    text.length <= usernameMaxLength && /^[^\p{C}\p{Zl}\p{Zp}]+$/u.test(text) && text.trim() === text
  return isFine && text.normalize('NFC') === text && !parseUuid(text.toLowerCase())
}

/**
 * Why this user name should not be given, as a sentence; undefined when it is fine. Refuses what RFC 8265
 * §3.3 (UsernameCaseMapped) does, with a reason that helps to choose another. Names of before this rule go on
 * working: it is no rule for what is looked for.
 */
export function newUsernameProblem(name: string): string | undefined {
  const text = name.normalize('NFC')
  if (text === '') return 'the user name is empty'
  if (text.length > usernameMaxLength) return `the user name is longer than ${usernameMaxLength} characters`
  if (text.trim() !== text) return 'the user name begins or ends with a space'
  if (parseUuid(text.toLowerCase())) return 'the user name has the form of a UUID, which is what a `sub` is'
  if (/^[\x20-\x7e]*$/.test(text)) return undefined
  for (const character of text) {
    const problem = characterProblem(character, text)
    if (problem !== undefined) return `the user name holds ${problem}`
  }
  return directionProblem(text)
}

/**
 * RFC 8264 §9 and §4.2 (IdentifierClass). A space may stand between the parts of a name (RFC 8265 §3.1), and
 * all else in ASCII is fine.
 */
function characterProblem(character: string, name: string): string | undefined {
  const shown = `“${character}” (${codePoint(character)})`
  if (/[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u.test(character)) {
    return `a character that cannot be seen, or that Unicode does not have (${codePoint(character)})`
  }
  if (/[\x20-\x7e]/.test(character) || fine.test(character)) return undefined
  const context = contexts.find(([characters]) => characters.test(character))
  if (context) return context[1].test(name) ? undefined : `${shown}, which belongs ${context[2]}`
  // Characters of another width stand for the usual ones (RFC 8265 §3.3.2).
  const usual = character.normalize('NFKC')
  if (/[\u3000\uff01-\uffee]/.test(character) && [...usual].every(other => letter.test(other)))
    return undefined
  if (usual !== character) return `${shown}, which stands for “${usual}”: write that`
  return letter.test(character) ? undefined : `${shown}, which is no letter, digit or ASCII character`
}

/** LetterDigits (RFC 8264 §9.1) and ASCII7 (§9.11), without those that §9.6 and §9.9 take out. */
const letter =
  /^(?:[\x20-\x7e]|(?![\u0640\u07fa\u302e\u302f\u3031-\u3035\u303b\u1100-\u11ff])[\p{L}\p{Nd}\p{Mn}\p{Mc}])$/u

/** §9.6, what is fine whatever its class. */
const fine = /^[\xdf\u03c2\u06fd\u06fe\u0f0b\u3007]$/

/** What is fine beside some other character alone (RFC 5892, appendix A.3 to A.9). */
const contexts: readonly (readonly [characters: RegExp, beside: RegExp, where: string])[] = [
  [/^\xb7$/, /^(?:[^\xb7]|(?<=l)\xb7(?=l))*$/i, 'between two letters l'],
  [/^\u0375$/, /^(?:[^\u0375]|\u0375(?=\p{Script=Greek}))*$/u, 'before a Greek letter'],
  [
    /^[\u05f3\u05f4]$/,
    /^(?:[^\u05f3\u05f4]|(?<=\p{Script=Hebrew})[\u05f3\u05f4])*$/u,
    'behind a Hebrew letter',
  ],
  [/^\u30fb$/, /[\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Han}]/u, 'into a Japanese name'],
  [/^[\u0660-\u0669]$/, /^[^\u06f0-\u06f9]*$/, 'to no other kind of Arabic digits'],
  [/^[\u06f0-\u06f9]$/, /^[^\u0660-\u0669]*$/, 'to no other kind of Arabic digits'],
]

/**
 * RFC 5893 §2, as far as scripts tell the direction: a name that is written from the right begins with a
 * letter, and has none that is written from the left, since on a screen its order could not be told.
 */
function directionProblem(name: string): string | undefined {
  if (!fromRight.test(name)) return undefined
  const letters = name.match(/\p{L}/gu) ?? []
  if (letters.some(other => !fromRight.test(other)))
    return 'the user name mixes letters that are written from the right with letters written from the left'
  if (!/^\p{L}/u.test(name) || !/[\p{L}\p{Nd}]\p{Mn}*$/u.test(name))
    return 'the user name is written from the right, and so must begin with a letter, and end with a letter or digit'
  return undefined
}

const fromRight =
  /(?=\p{L})[\p{scx=Hebr}\p{scx=Arab}\p{scx=Syrc}\p{scx=Thaa}\p{scx=Nkoo}\p{scx=Samr}\p{scx=Mand}\p{scx=Adlm}\p{scx=Rohg}]/u

function codePoint(character: string): string {
  return `U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`
}
