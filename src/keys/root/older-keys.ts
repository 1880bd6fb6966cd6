import type { RootKeys } from './root-key.ts'

/**
 * The rows that are sealed under another root key than the current one, to be sealed anew. Where the file has
 * no other key they could not be opened, so the database is not asked.
 */
export async function rowsUnderOlderKeys<Row>(
  { ids, currentId }: Pick<RootKeys, 'ids' | 'currentId'>,
  list: (currentId: string) => Promise<readonly Row[]>,
): Promise<readonly Row[]> {
  return ids.length > 1 ? list(currentId) : []
}
