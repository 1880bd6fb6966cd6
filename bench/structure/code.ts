import { stripTypeScriptTypes } from 'node:module'

/** The text with spaces where types and comments stand, each character in its place. */
export function codeOf(text: string): string {
  return withoutComments(stripTypeScriptTypes(text, { mode: 'strip' }))
}

/** The text with spaces for its comments. */
export function withoutComments(text: string): string {
  const parts = /'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\[^])*`|\/\*[^]*?\*\/|\/\/[^\n]*/g
  return text.replace(parts, part => (/^\/[/*]/.test(part) ? part.replace(/[^\n]/g, ' ') : part))
}
