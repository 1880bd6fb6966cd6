import type { Changes } from '../../record/events.ts'
import { formatDuration } from '../../values/duration.ts'
import { formatTime } from '../../values/formats.ts'
import type { TextAnswer } from './output.ts'

/** `scope: read -> read write` for each. */
export function drawDifferences(differences: Changes): string[] {
  return Object.entries(differences).map(
    ([key, { from, to }]) => `${key}: ${formatSetting(key, from)} -> ${formatSetting(key, to)}`,
  )
}

/** A setting of a client, a resource or a user. The only numbers there are times (`_at`) and lifetimes. */
export function formatSetting(key: string, value: unknown): string {
  if (typeof value === 'number' && key.endsWith('_at')) return formatTime(value)
  if (Array.isArray(value)) return value.join(' ') || 'none'
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
  const lines = drawDifferences(differences).map(line => `  ${line}`)
  const title = lines.length === 0 ? `The ${kind} ${name} is so already.` : `Changed the ${kind} ${name}`
  return { text: [title, ...lines].join('\n'), json: { name, changed: lines.length > 0, differences } }
}
