import { formatDuration } from '../../../values/duration.ts'
import { formatCount } from '../../../values/formats.ts'
import { readUserAgent } from '../../../values/user-agent.ts'

export const counted = formatCount

/** Seconds as people write them. */
export function durationText(seconds: number): string {
  const rest = seconds % 60
  if (seconds > 60 && rest > 0) return `${durationText(seconds - rest)} and ${durationText(rest)}`
  const units = { d: 'day', h: 'hour', m: 'minute', s: 'second' } as const
  const [, count = '', unit = 's'] = /^(\d+)([dhms])$/.exec(formatDuration(seconds)) ?? []
  return formatCount(Number(count), units[unit as keyof typeof units])
}

/** A browser as people know it. */
export function browserText(userAgent: string): string {
  const { browser = 'an unknown browser', system } = readUserAgent(userAgent)
  return system === undefined ? browser : `${browser} on ${system}`
}

/** How somebody has logged in (RFC 8176), in plain words. */
export function methodsText(amr: readonly string[]): string {
  const known: Readonly<Record<string, string>> = {
    pwd: 'password',
    otp: 'code of an app',
    hwk: 'passkey',
    swk: 'passkey',
    user: 'on the device',
    kba: 'recovery code',
  }
  const names = amr.filter(method => method !== 'mfa').map(method => known[method] ?? method)
  return [...new Set(names)].join(' and ')
}

const units = [
  ['year', 31_557_600],
  ['month', 2_629_800],
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
] as const

const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' })

/** `3 hours ago`, `in 2 days`. */
export function relativeText(seconds: number): string {
  const [unit, size] = units.find(([, size]) => Math.abs(seconds) >= size) ?? ['second', 1]
  if (unit === 'second') return Math.abs(seconds) < 5 ? 'now' : relative.format(Math.round(seconds), 'second')
  return relative.format(Math.round(seconds / size), unit)
}
