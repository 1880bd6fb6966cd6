/**
 * A line of CSV (RFC 4180). Programs for tables run a cell that begins like a formula, and names in it may be
 * a stranger's: an apostrophe before it makes it text. Where a language separates cells by semicolons, these
 * programs heed no quotes after the first cell: a cell begins there after a semicolon or a line's end too.
 */
export function csvLine(cells: readonly (string | number | null)[]): string {
  return `${cells.map(cellOf).join(',')}\r\n`
}

/** Also the wide forms of the signs, which some programs take for the narrow ones. */
const formula = /(^|[;\t\r\n])([\s"]*)(?=[=+\-@\t\r＝＋－＠])/g

function cellOf(value: string | number | null): string {
  const safe = String(value ?? '').replace(formula, "$1'$2")
  return `"${safe.replaceAll('"', '""')}"`
}
