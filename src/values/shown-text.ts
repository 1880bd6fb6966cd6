/** Letters that show nothing (fillers of Hangul, blanks of Braille), and marks that cover the lines above. */
const hiding = /[\u115f\u1160\u2800\u3164\uffa0]|\p{M}{5}/u

/** Whether a text that somebody has chosen can stand in a page: one line, all of which can be seen. */
export function isShownText(text: string, lengthMax: number): boolean {
  if (text.length > lengthMax || hiding.test(text)) return false
  return /^[^\p{C}\p{Zl}\p{Zp}]+$/u.test(text) && text.trim() === text
}
