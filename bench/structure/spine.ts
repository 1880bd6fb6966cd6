import { dirname } from 'node:path'
import { codeOf } from './code.ts'
import type { Execution } from './server.ts'
import type { Import } from './sources.ts'

export interface Stop {
  readonly path: string
  /** Whether a stop before it imports a value of it, or of a list of its folder that does. */
  readonly isImported: boolean
  /** How long its functions are that ran. */
  readonly lines: number
}

/**
 * Where a refresh is decided: the endpoint, who authenticates the client, the grant, and the file of db/ that
 * ran the first statement about sessions. Those are what has to be read to know what a refresh does.
 */
export function spineOf(
  { lines, rowFile }: Execution,
  imports: readonly Import[],
  read: (path: string) => string,
): readonly Stop[] {
  const places = [/^src\/endpoints\/token\.ts$/, /\/client-auth\.ts$/, /^src\/grants\/refresh-token\.ts$/]
  const paths = [...places.map(place => [...lines.keys()].find(path => place.test(path))), rowFile]
  const stops = paths.filter(path => path !== undefined)
  return stops.map((path, i) => ({
    path,
    isImported: i === 0 || stops.slice(0, i).some(stop => isReached(stop, path, imports)),
    lines: readLines(read(path), lines.get(path) ?? new Set()),
  }))
}

function isReached(from: string, path: string, imports: readonly Import[]): boolean {
  const next = imports.filter(({ from: file, isType }) => file === from && !isType).map(({ to }) => to)
  const lists = next.filter(file => dirname(file) === dirname(path))
  const isListed = ({ from: file, to, isType }: Import) => to === path && !isType && lists.includes(file)
  return next.includes(path) || imports.some(isListed)
}

/** Lines of the outermost functions that ran, with the comments in them. */
function readLines(text: string, executed: ReadonlySet<number>): number {
  const lines = codeOf(text).split('\n')
  // Each begins at the left margin, and reaches as far as code does before the next one.
  const starts = lines.flatMap((line, i) => (/^[^\s})\]]/.test(line) ? [i] : []))
  return starts
    .map((start, i) => {
      const end = starts[i + 1] ?? lines.length
      const last = lines.findLastIndex((line, number) => number < end && line.trim() !== '')
      return [start, last] as const
    })
    .filter(([start, last]) => [...executed].some(line => line >= start && line <= last))
    .reduce((sum, [start, last]) => sum + last - start + 1, 0)
}
