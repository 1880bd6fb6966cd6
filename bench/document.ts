import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** A path in docs/. */
export const inDocs = (name: string): string => join(import.meta.dirname, '../docs', name)

/** Writes the tables of a document in docs/ anew, each between its two marks. */
export function fillDocument(name: string, tables: Readonly<Record<string, string>>): void {
  const file = inDocs(name)
  let text = readFileSync(file, 'utf8')
  for (const [mark, table] of Object.entries(tables)) {
    const between = new RegExp(`(<!-- ${mark} -->\\n)[^]*?(<!-- /${mark} -->)`)
    if (!between.test(text)) throw new Error(`${file} has no place for ${mark}`)
    text = text.replace(between, (_, begin: string, end: string) => `${begin}${table}\n${end}`)
  }
  writeFileSync(file, text)
}
