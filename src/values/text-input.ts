import { isUtf8 } from 'node:buffer'

/**
 * The text of bytes that others have written. It is UTF-8; a byte order mark, which PowerShell and Windows'
 * editors put before it, is no part of it. For other bytes, `problem` goes on after "it is", and says what to
 * do.
 */
export function readText(bytes: Uint8Array): { readonly text: string } | { readonly problem: string } {
  if (isUtf16(bytes)) {
    return { problem: 'UTF-16, as PowerShell and Notepad may write it: save or pipe it as UTF-8' }
  }
  if (!isUtf8(bytes)) return { problem: 'not UTF-8: save or pipe it as UTF-8' }
  // Unlike Buffer's `toString`, this leaves the mark out.
  return { text: new TextDecoder().decode(bytes) }
}

/** By its mark, or by the half of each character of English that is zero. */
function isUtf16([first, second]: Uint8Array): boolean {
  if (first === undefined || second === undefined) return false
  return (
    (first === 0xff && second === 0xfe) ||
    (first === 0xfe && second === 0xff) ||
    (first === 0) !== (second === 0)
  )
}

/**
 * A line break, NUL or another control character: what a file from Windows leaves at the end of each value.
 */
export function hasControls(text: string): boolean {
  return /\p{Cc}/u.test(text)
}
