/** The items of a list as it is stored: separated by spaces, in the empty text none. */
export function itemsOf(text: string): readonly string[] {
  return text === '' ? [] : text.split(' ')
}

/**
 * One page of rows, of which one more was read than it holds, and its last one; undefined for that, where no
 * other page follows.
 */
export function cutPage<Row>(
  rows: readonly Row[],
  limit: number,
): { readonly page: readonly Row[]; readonly last: Row | undefined } {
  const page = rows.slice(0, limit)
  return { page, last: rows.length > limit ? page.at(-1) : undefined }
}
