import { prefix, settings, type Setting } from './settings.ts'

/**
 * The value of each setting: its default where it is not set; undefined where that follows other settings.
 */
export type SettingValues = {
  readonly [Member in keyof typeof settings]: (typeof settings)[Member] extends Setting<infer Value>
    ? Value
    : never
}

/** The text of a setting. An empty variable is one that a deployment left out. */
export function textOf(env: NodeJS.ProcessEnv, { name }: Pick<Setting<unknown>, 'name'>): string | undefined {
  return env[prefix + name] || undefined
}

/** Reads all settings. A text of another kind is noted in `problems`, and the default stands in for it. */
export function readSettings(env: NodeJS.ProcessEnv, problems: string[]): SettingValues {
  const values = Object.entries<Setting<unknown>>(settings).map(([member, setting]) => [
    member,
    readSetting(env, setting, problems),
  ])
  // Each member holds what its own row reads, which the type of fromEntries cannot say.
  return Object.fromEntries(values) as SettingValues
}

function readSetting<Value>(env: NodeJS.ProcessEnv, setting: Setting<Value>, problems: string[]): Value {
  const { name, kind, fallback } = setting
  const text = textOf(env, setting)
  if (text === undefined) return fallback
  const value = kind.parse(text)
  if (value !== undefined) return value
  const better = kind.suggest?.(text)
  const hint = better === undefined ? '' : `; did you mean ${better}?`
  problems.push(`${prefix}${name} is ${JSON.stringify(text)}, but takes ${kind.takes}${hint}`)
  return fallback
}
