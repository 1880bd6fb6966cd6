import type { Changes } from '../../record/events.ts'
import { formatDuration } from '../../values/duration.ts'
import { formatTime } from '../../values/formats.ts'
import type { TextAnswer } from './output.ts'

/** `scope: read -> read write` for each. `nothing` stands for what is not set. */
export function drawDifferences(differences: Changes, nothing = 'default'): string[] {
  const format = (key: string, value: unknown) => (value === null ? nothing : formatSetting(key, value))
  return Object.entries(differences).map(
    ([key, { from, to }]) => `${key}: ${format(key, from)} -> ${format(key, to)}`,
  )
}

/** A setting of a client, a resource or a user. The only numbers there are times (`_at`) and lifetimes. */
export function formatSetting(key: string, value: unknown): string {
  if (typeof value === 'number' && key.endsWith('_at')) return formatTime(value)
  if (Array.isArray(value))
    return value.map(item => (typeof item === 'object' ? JSON.stringify(item) : item)).join(' ') || 'none'
  if (typeof value === 'object' && value !== null)
    return Object.keys(value).length === 0 ? 'none' : JSON.stringify(value)
  return typeof value === 'number' ? formatDuration(value) : String(value ?? 'default')
}

/** The answer of an update. */
export function answerUpdate(
  kind: string,
  name: string,
  differences: Changes,
): TextAnswer & { readonly json: object } {
  // What a user lacks has no default.
  const lines = drawDifferences(differences, kind === 'user' ? 'none' : 'default').map(line => `  ${line}`)
  const title = lines.length === 0 ? `The ${kind} ${name} is so already.` : `Changed the ${kind} ${name}`
  return { text: [title, ...lines].join('\n'), json: { name, changed: lines.length > 0, differences } }
}
