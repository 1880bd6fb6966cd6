import { formatDuration } from '../../values/duration.ts'

/** What changes, by its name. */
export type Differences = Readonly<Record<string, { readonly from: unknown; readonly to: unknown }>>

/** Where `after` differs from `before`; from nothing, all of it does. */
export function differencesOf(before: object | undefined, after: object): Differences {
  const known = new Map<string, unknown>(before ? Object.entries(before) : [])
  return Object.fromEntries(
    Object.entries(after)
      .map(([key, to]: [string, unknown]) => [key, { from: known.get(key) ?? null, to }] as const)
      .filter(([, { from, to }]) => JSON.stringify(from) !== JSON.stringify(to)),
  )
}

/** `scope: read -> read write` for each. */
export function drawDifferences(differences: Differences): string[] {
  return Object.entries(differences).map(
    ([key, { from, to }]) => `${key}: ${formatSetting(from)} -> ${formatSetting(to)}`,
  )
}

/** A setting of a client or a resource. The only numbers there are lifetimes. */
export function formatSetting(value: unknown): string {
  if (Array.isArray(value)) return value.join(' ') || 'none'
  if (typeof value === 'object' && value !== null) return JSON.stringify(value)
  return typeof value === 'number' ? formatDuration(value) : String(value ?? 'default')
}

/** The answer of an update. */
export function updated(kind: string, name: string, differences: Differences) {
  const lines = drawDifferences(differences).map(line => `  ${line}`)
  const title = lines.length === 0 ? `The ${kind} ${name} is so already.` : `Changed the ${kind} ${name}`
  return { text: [title, ...lines].join('\n'), json: { name, changed: lines.length > 0, differences } }
}
