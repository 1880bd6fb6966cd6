/** Whether a text that an operator has chosen can stand in a page: one line, whose ends can be seen. */
export function isShownText(text: string, lengthMax: number): boolean {
  return text.length <= lengthMax && /^[^\p{C}\p{Zl}\p{Zp}]+$/u.test(text) && text.trim() === text
}
