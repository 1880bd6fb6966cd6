import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { withoutComments } from './code.ts'

export interface Source {
  /** Its path in the checkout, with slashes. */
  readonly path: string
  readonly text: string
}

/** All of the checkout's TypeScript in these folders. */
export function sourcesOf(checkout: string, folders: readonly string[]): readonly Source[] {
  return folders.flatMap(folder =>
    readdirSync(join(checkout, folder), { recursive: true, encoding: 'utf8' })
      .filter(file => /\.tsx?$/.test(file) && !/node_modules|(^|\/)generated\//.test(file))
      .map(file => {
        const path = join(folder, file).replaceAll('\\', '/')
        return { path, text: readFileSync(join(checkout, path), 'utf8') }
      }),
  )
}

export interface Import {
  readonly from: string
  readonly to: string
  /** Nothing of it is left at run time. */
  readonly isType: boolean
}

/** The imports of the sources from each other: at their top, again for others, or when they need it. */
export function importsOf(sources: readonly Source[]): readonly Import[] {
  const statements = /^(?:import|export)\b([^'"`;=]*?)\bfrom '(\.[^']*)'|\bimport\('(\.[^']*)'\)/gm
  return sources.flatMap(({ path, text }) =>
    [...withoutComments(text).matchAll(statements)].map(([, names = '', named, dynamic]) => ({
      from: path,
      to: normalize(join(dirname(path), named ?? dynamic ?? '')).replaceAll('\\', '/'),
      isType: named !== undefined && isOfTypes(names),
    })),
  )
}

function isOfTypes(names: string): boolean {
  if (/^\s*type\b/.test(names)) return true
  const each = /^\s*\{([^}]*)\}\s*$/
    .exec(names)?.[1]
    ?.split(',')
    .map(name => name.trim())
  return each?.every(name => name === '' || name.startsWith('type ')) ?? false
}

/** Groups of more than one that can all be reached from each other, the largest first. */
export function circlesOf(arrows: readonly Pick<Import, 'from' | 'to'>[]): readonly (readonly string[])[] {
  const next = Map.groupBy(arrows, ({ from }) => from)
  const reachable = new Map([...next.keys()].map(start => [start, reach(start)]))
  const circles: string[][] = []
  const done = new Set<string>()
  for (const start of reachable.keys()) {
    if (done.has(start)) continue
    const circle = [...(reachable.get(start) ?? [])].filter(other => reachable.get(other)?.has(start))
    for (const one of circle) done.add(one)
    if (circle.length > 1) circles.push(circle.toSorted())
  }
  return circles.toSorted((a, b) => b.length - a.length)

  function reach(start: string): ReadonlySet<string> {
    const found = new Set<string>()
    const open = [start]
    for (let one = open.pop(); one !== undefined; one = open.pop()) {
      for (const { to } of next.get(one) ?? []) {
        if (found.has(to)) continue
        found.add(to)
        open.push(to)
      }
    }
    return found
  }
}
