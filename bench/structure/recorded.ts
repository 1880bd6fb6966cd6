import type { Profiler } from 'node:inspector'
import { codeOf } from './code.ts'

/** The lines that one request executed. Scripts are named by their path in the checkout. */
export interface RecordedRequest {
  /**
   * Until the first statement about sessions ran; undefined when none did. `file` is the one of db/ that ran
   * it.
   */
  readonly beforeRow:
    { readonly scripts: readonly Profiler.ScriptCoverage[]; readonly file: string | undefined } | undefined
  readonly afterRow: readonly Profiler.ScriptCoverage[]
}

/** Numbers of lines, from 0, by file. */
export type Lines = ReadonlyMap<string, ReadonlySet<number>>

/** The lines of code that ran; `isWhole` adds those of functions that ran which were passed over. */
export function executedLines(
  scripts: readonly Profiler.ScriptCoverage[],
  read: (path: string) => string,
  { isWhole = false } = {},
): Lines {
  const found = new Map<string, Set<number>>()
  for (const { url, functions } of scripts) {
    const text = read(url)
    const executed = executedCharacters(text.length, functions, isWhole)
    const code = codeOf(text)
    const lines = found.get(url) ?? new Set()
    let line = 0
    for (let i = 0; i < code.length; i++) {
      const character = code[i] ?? ''
      if (character === '\n') line++
      else if (executed[i] === 1 && character.trim() !== '') lines.add(line)
    }
    if (lines.size > 0) found.set(url, lines)
  }
  return found
}

/** An inner function, and within a function an inner block, has the last word about its characters. */
function executedCharacters(
  length: number,
  functions: readonly Profiler.FunctionCoverage[],
  isWhole: boolean,
): Uint8Array {
  const executed = new Uint8Array(length)
  const begin = ({ ranges }: Profiler.FunctionCoverage) => ranges[0]?.startOffset ?? 0
  const end = ({ ranges }: Profiler.FunctionCoverage) => ranges[0]?.endOffset ?? 0
  for (const { ranges } of functions.toSorted((a, b) => begin(a) - begin(b) || end(b) - end(a))) {
    for (const { startOffset, endOffset, count } of isWhole ? ranges.slice(0, 1) : ranges) {
      executed.fill(count > 0 ? 1 : 0, startOffset, endOffset)
    }
  }
  return executed
}

/** The lines that are in both. */
export function commonLines(a: Lines, b: Lines): Lines {
  const common = [...a].map(([path, lines]) => {
    const others = b.get(path)
    return [path, new Set([...lines].filter(line => others?.has(line)))] as const
  })
  return new Map(common.filter(([, lines]) => lines.size > 0))
}

/** The lines that are in one of them. */
export function allLines(a: Lines, b: Lines): Lines {
  const paths = new Set([...a.keys(), ...b.keys()])
  return new Map([...paths].map(path => [path, new Set([...(a.get(path) ?? []), ...(b.get(path) ?? [])])]))
}

export function countLines(lines: Lines): number {
  return [...lines.values()].reduce((sum, { size }) => sum + size, 0)
}
