import { styleText } from 'node:util'

/** The answer of a command, for people and for programs. */
export type Answer = TextAnswer | RowsAnswer

export interface TextAnswer {
  /** For people; without the last line break. */
  readonly text: string
  /** The one JSON document. */
  readonly json: unknown
}

/** A list of any length, printed as it comes. For programs it is an array. */
export interface RowsAnswer {
  readonly rows: AsyncIterable<Row> | Iterable<Row>
  /** The headings, in upper case by habit. */
  readonly columns: readonly string[]
  /** What people read instead of an empty table. */
  readonly none: string
}

export interface Row {
  /** One for each column. */
  readonly cells: readonly string[]
  readonly json: unknown
}

/** So many rows are looked at before the columns get their widths. */
const rowsAtOnce = 200

/** Prints the answer. Styles are left out where the stream is no terminal, or NO_COLOR is set. */
export async function printAnswer(
  stream: NodeJS.WriteStream,
  answer: Answer,
  isJson: boolean,
): Promise<void> {
  if ('text' in answer) {
    await write(stream, `${isJson ? JSON.stringify(answer.json, null, 2) : answer.text}\n`)
    return
  }
  let printed = 0
  let chunk: Row[] = []
  let widths = answer.columns.map(column => column.length)
  const flush = async () => {
    if (isJson) {
      const documents = chunk.map(row => JSON.stringify(row.json))
      const before = printed === 0 ? '[\n' : ',\n'
      if (documents.length > 0) await write(stream, before + documents.join(',\n'))
    } else {
      widths = widths.map((width, i) => Math.max(width, ...chunk.map(row => textWidth(row.cells[i] ?? ''))))
      const lines = chunk.map(({ cells }) => alignedLine(cells, widths))
      if (printed === 0) lines.unshift(styleText('dim', alignedLine(answer.columns, widths), { stream }))
      await write(stream, `${lines.join('\n')}\n`)
    }
    printed += chunk.length
    chunk = []
  }
  for await (const row of answer.rows) {
    chunk.push(row)
    if (chunk.length === rowsAtOnce) await flush()
  }
  if (chunk.length > 0) await flush()
  if (isJson) await write(stream, printed === 0 ? '[]\n' : '\n]\n')
  else if (printed === 0) await write(stream, `${answer.none}\n`)
}

/** Names and values below each other; those without a value are left out. */
export function facts(values: Readonly<Record<string, string | number | null | undefined>>): string {
  const present = Object.entries(values).filter(
    ([, value]) => value !== null && value !== undefined && value !== '',
  )
  const width = present.reduce((most, [name]) => Math.max(most, textWidth(name)), 0)
  return present.map(([name, value]) => `  ${alignedLine([name, String(value)], [width, 0])}`).join('\n')
}

/** A table of few rows, as text. */
export function table(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = columns.map((column, i) =>
    Math.max(...[column, ...rows.map(row => row[i] ?? '')].map(textWidth)),
  )
  return [columns, ...rows].map(cells => alignedLine(cells, widths)).join('\n')
}

function alignedLine(cells: readonly string[], widths: readonly number[]): string {
  return cells
    .map((cell, i) => cell + ' '.repeat(Math.max(0, (widths[i] ?? 0) - textWidth(cell))))
    .join('  ')
    .trimEnd()
}

/** How many columns of a terminal a text takes, near enough: characters, those of East Asia twice. */
function textWidth(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length
  let width = 0
  for (const { segment } of new Intl.Segmenter().segment(text)) {
    width += /\p{Script=Han}|\p{Script=Hangul}|\p{Script=Hiragana}|\p{Script=Katakana}|\p{RGI_Emoji}/v.test(
      segment,
    )
      ? 2
      : 1
  }
  return width
}

/** Waits while the reader is slower than we are. */
export function write(stream: NodeJS.WriteStream, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(text, error => (error ? reject(error) : resolve()))
  })
}
