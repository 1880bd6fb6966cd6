/** The items of a list as it is stored: separated by spaces, in the empty text none. */
export function itemsOf(text: string): readonly string[] {
  return text === '' ? [] : text.split(' ')
}
