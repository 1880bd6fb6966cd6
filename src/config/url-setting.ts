import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { readText } from '../values/text-input.ts'
import { prefix, type Setting } from './settings.ts'

/** What is wrong with a text: goes on after its name, and shows nothing of it. */
export interface Problem {
  readonly problem: string
}

export interface UrlSetting<Url extends object> {
  /** What it is, for people: a URL unless told. */
  readonly what?: string
  /** The setting for the URL itself, and the one for a file that holds it. */
  readonly settings: readonly [url: Pick<Setting<unknown>, 'name'>, file: Pick<Setting<unknown>, 'name'>]
  readonly home: string
  readonly parse: (text: string) => Url | Problem
}

/**
 * The URL of a server, which may hold a password, or another secret: by one setting, or by another that names
 * a file. Undefined where neither is set, or where it is wrong: faults go to `problems`, which never show the
 * text of either.
 */
export function urlOf<Url extends object>(
  { text, file }: { readonly text: string | undefined; readonly file: string | undefined },
  { what = 'URL', settings, home, parse }: UrlSetting<Url>,
  problems: string[],
): Url | undefined {
  const [urlName, fileName] = settings.map(({ name }) => prefix + name)
  const complain = (problem: string) => {
    problems.push(problem)
    return undefined
  }
  if (text !== undefined && file !== undefined)
    return complain(`${urlName} and ${fileName} are both set, but only one may be`)
  if (text !== undefined) {
    const url = parse(text)
    return 'problem' in url ? complain(`${urlName} ${url.problem}`) : url
  }
  if (file === undefined) return undefined
  if (/:\/\/|^sqlite:|^whsec_/.test(file))
    return complain(
      `${fileName} takes the path of a file that holds the ${what}; the ${what} itself is ${urlName}`,
    )
  const url = readUrlFile(resolve(home, file), parse)
  return 'problem' in url ? complain(`${fileName} is ${url.problem}`) : url
}

/** The URL that a file holds as its one line. `path` is absolute. */
export function readUrlFile<Url extends object>(
  path: string,
  parse: (text: string) => Url | Problem,
): Url | Problem {
  const content = readFile(path)
  if ('problem' in content) return { problem: `${JSON.stringify(path)}, which ${content.problem}` }
  const text = content.text.trim()
  if (text === '') return { problem: `${JSON.stringify(path)}, which is empty` }
  const url = parse(text)
  return 'problem' in url ? { problem: `${JSON.stringify(path)}, whose one line ${url.problem}` } : url
}

function readFile(file: string): { readonly text: string } | Problem {
  try {
    const read = readText(readFileSync(file))
    return 'text' in read ? read : { problem: `is ${read.problem}` }
  } catch {
    return { problem: 'cannot be read' }
  }
}
