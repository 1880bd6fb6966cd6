import { isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { pipeline, Readable } from 'node:stream'
import { CsvError, parse as csvParser } from 'csv-parse'
import { Refusal } from '../../errors.ts'
import { isObject } from '../../values/json.ts'

/** One user as a file has it: what another program has written, or why that cannot be read. */
export type FileEntry = { readonly members: Readonly<Record<string, unknown>> } | { readonly problem: string }

/** How a file has its users: one JSON object in each line, CSV with a header, or one JSON document. */
export type UsersForm = 'lines' | 'csv' | 'document'

/** A file of users that is read from the beginning each time. */
export interface UsersSource {
  /** As refusals call it. */
  readonly name: string
  readonly form: UsersForm
  readonly chunks: () => AsyncIterable<Buffer>
  /** A document is read as a whole: it has so many bytes at the most. */
  readonly documentMax: number
}

/** The same, where it lies on this machine. */
export interface UsersFile extends UsersSource {
  /** SHA-256, in hexadecimal digits: so a file that is imported again is known, wherever it lies. */
  readonly digest: string
  /** How many line feeds it has, for who wants to see how far the work has come. */
  readonly lines: number
}

/** Reads the file once. Throws what the system says where it cannot be read. */
export async function openUsersFile(path: string): Promise<UsersFile> {
  const hash = createHash('sha256')
  let lines = 0
  for await (const chunk of chunksOf(path)) {
    hash.update(chunk)
    for (let i = chunk.indexOf(lineFeed); i >= 0; i = chunk.indexOf(lineFeed, i + 1)) lines++
  }
  const form = path.endsWith('.csv') ? 'csv' : path.endsWith('.json') ? 'document' : 'lines'
  const chunks = () => chunksOf(path)
  return { name: path, form, chunks, documentMax: longestDocument, digest: hash.digest('hex'), lines }
}

/**
 * The users in the file, in its order. A document is an array of users, or an object that has it as `users`,
 * as Keycloak exports a realm. Refuses a file that is nothing of the kind as a whole; one entry that cannot
 * be read is an entry.
 */
export function entriesOf(source: UsersSource): AsyncIterable<FileEntry> {
  if (source.form === 'csv') return csvEntries(source)
  return source.form === 'document' ? documentEntries(source) : lineEntries(source)
}

export const lineFeed = 10

/** A line that is longer is no user. */
const longestLine = 65_536

async function* lineEntries({ chunks }: UsersSource): AsyncGenerator<FileEntry> {
  for await (const line of linesOf(chunks())) {
    if (line === undefined) yield { problem: `the line is longer than ${longestLine} bytes` }
    else if (line.length > 0) yield readLine(line)
  }
}

function readLine(line: Buffer): FileEntry {
  if (!isUtf8(line)) return { problem: 'the line is not UTF-8' }
  try {
    return readValue(JSON.parse(line.toString()))
  } catch {
    return { problem: 'the line is no JSON' }
  }
}

function readValue(value: unknown): FileEntry {
  return isObject(value) ? { members: value } : { problem: 'it is no JSON object' }
}

/** The lines without their ends; undefined for one that is too long, of which no more is kept. */
async function* linesOf(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer | undefined> {
  let rest: Buffer = Buffer.alloc(0)
  let isTooLong = false
  let isFirst = true
  for await (const chunk of chunks) {
    let from = isFirst && chunk.subarray(0, 3).equals(byteOrderMark) ? 3 : 0
    isFirst = false
    for (let end = chunk.indexOf(lineFeed, from); end >= 0; end = chunk.indexOf(lineFeed, from)) {
      const line =
        rest.length > 0 ? Buffer.concat([rest, chunk.subarray(from, end)]) : chunk.subarray(from, end)
      yield isTooLong || line.length > longestLine ? undefined : withoutReturn(line)
      rest = Buffer.alloc(0)
      isTooLong = false
      from = end + 1
    }
    if (rest.length + chunk.length - from > longestLine) isTooLong = true
    rest = isTooLong ? Buffer.alloc(0) : Buffer.concat([rest, chunk.subarray(from)])
  }
  if (isTooLong) yield undefined
  else if (rest.length > 0) yield withoutReturn(rest)
}

const byteOrderMark = Buffer.from('\ufeff')

function withoutReturn(line: Buffer): Buffer {
  return line.at(-1) === 13 ? line.subarray(0, -1) : line
}

/** What one text can hold. */
const longestDocument = 512 * 1024 * 1024

async function* documentEntries({ name, chunks, documentMax }: UsersSource): AsyncGenerator<FileEntry> {
  const parts: Buffer[] = []
  let size = 0
  for await (const chunk of chunks()) {
    size += chunk.length
    parts.push(chunk)
    if (size <= documentMax) continue
    throw new Refusal(
      'invalid',
      `${name} is one JSON document of more than ${documentMax / 1024 / 1024} MiB, which is read as a whole: ` +
        'write one user in each line',
      'such a file is called .jsonl; Keycloak exports several files with `--users different_files`',
    )
  }
  const value = parseDocument(
    name,
    Buffer.concat(parts)
      .toString()
      .replace(/^\ufeff/, ''),
  )
  const users = Array.isArray(value) ? value : isObject(value) ? value['users'] : undefined
  if (!Array.isArray(users)) {
    throw new Refusal(
      'invalid',
      `${name} has neither an array of users nor an object with \`users\``,
      'a file with one user in each line is called .jsonl',
    )
  }
  for (const user of users) yield readValue(user)
}

function parseDocument(name: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    const reason = error instanceof Error ? error.message.replaceAll(/"[^"]*"\.*/g, '…') : ''
    throw new Refusal(
      'invalid',
      `${name} is no JSON document (${reason})`,
      'a file with one user in each line is called .jsonl',
    )
  }
}

/** Empty cells are left out, as what is not told. */
async function* csvEntries({ name, chunks }: UsersSource): AsyncGenerator<FileEntry> {
  const parser = csvParser({
    bom: true,
    columns: (header: string[]) => header.map(name => name.trim()),
    max_record_size: longestLine,
    relax_column_count: true,
    skip_empty_lines: true,
  })
  // A failure is thrown below, where the records are read.
  const records = pipeline(Readable.from(chunks()), parser, () => {}) as AsyncIterable<
    Readonly<Record<string, string | readonly string[]>>
  >
  try {
    for await (const record of records) {
      yield { members: Object.fromEntries(Object.entries(record).filter(([, cell]) => cell !== '')) }
    }
  } catch (error) {
    if (!(error instanceof CsvError)) throw error
    throw new Refusal('invalid', `${name}, line ${String(error['lines'])}: ${csvProblem(error.code)}`)
  }
}

function csvProblem(code: string): string {
  if (code === 'CSV_MAX_RECORD_SIZE')
    return `the record is longer than ${longestLine} bytes: is a quote not closed?`
  if (code === 'CSV_QUOTE_NOT_CLOSED') return 'a quote is not closed'
  return 'it is no CSV (RFC 4180): quote cells that hold commas, quotes or line feeds'
}

async function* chunksOf(path: string): AsyncGenerator<Buffer> {
  const stream: AsyncIterable<Buffer> = createReadStream(path, { highWaterMark: 1024 * 1024 })
  yield* stream
}
