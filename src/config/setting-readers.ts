import { formatDuration, parseDuration } from '../values/duration.ts'
import { hasControls } from '../values/text-input.ts'

/** What the names of all settings begin with in the environment. */
export const prefix = 'MINTMARK_'

type Read = (name: string) => string | undefined

/** Functions that read one setting each, note what is wrong with it, and remember its name. */
export function readers(env: NodeJS.ProcessEnv, problems: string[]) {
  const known = new Set<string>()
  // An empty variable is one that a deployment left out.
  const read: Read = name => {
    known.add(prefix + name)
    return env[prefix + name] || undefined
  }
  const parsed = <T>(
    name: string,
    fallback: T,
    takes: string,
    parse: (text: string) => T | undefined,
    suggest: (text: string) => string | undefined = () => undefined,
  ): T => {
    const text = read(name)
    if (text === undefined) return fallback
    const value = parse(text)
    if (value !== undefined) return value
    const better = suggest(text)
    const hint = better === undefined ? '' : `; did you mean ${better}?`
    problems.push(`${prefix}${name} is ${JSON.stringify(text)}, but takes ${takes}${hint}`)
    return fallback
  }
  return {
    known,
    read,
    /** Of a path nothing else is wrong before it is used, and then it is that of another, empty installation. */
    path: (name: string) => {
      const text = parsed(name, '', pathForm, text => (isPath(text) ? text : undefined))
      return text === '' ? undefined : text
    },
    checked: (
      name: string,
      fallback: string,
      takes: string,
      isValid: (text: string) => boolean,
      suggest?: (text: string) => string | undefined,
    ) => parsed(name, fallback, takes, text => (isValid(text) ? text : undefined), suggest),
    choice: <Choice extends string>(name: string, fallback: Choice, choices: readonly Choice[]) =>
      parsed(name, fallback, `one of ${choices.join(', ')}`, text => choices.find(choice => choice === text)),
    integer: (name: string, fallback: number, min: number, max: number) =>
      parsed(name, fallback, `a whole number from ${min} to ${max}`, text =>
        within(wholeNumber(text), min, max),
      ),
    duration: (name: string, fallback: number, min: number, max: number) =>
      parsed(
        name,
        fallback,
        `a duration from ${formatDuration(min)} to ${formatDuration(max)}, in seconds or with a unit (300, 90s, 5m, 12h, 30d)`,
        text => within(parseDuration(text), min, max),
      ),
    list: (name: string, takes: string, isValid: (item: string) => boolean) =>
      parsed<readonly string[]>(name, [], takes, text => {
        const items = text.split(/[\s,]+/).filter(item => item !== '')
        return items.every(isValid) ? items : undefined
      }),
  }
}

const pathForm = 'a path without control characters, and without a space at its ends'

/** What a file with the line breaks of Windows leaves behind a value is not seen, and makes another path. */
function isPath(text: string): boolean {
  return !hasControls(text) && text.trim() === text
}

function wholeNumber(text: string): number | undefined {
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

function within(value: number | undefined, min: number, max: number): number | undefined {
  return value !== undefined && value >= min && value <= max ? value : undefined
}
