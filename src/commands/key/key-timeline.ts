import { styleText } from 'node:util'
import type { KeyDocument } from '../../admin/keys.ts'
import { formatTime, printable } from '../../values/formats.ts'

export interface Timeline {
  readonly keys: readonly KeyDocument[]
  readonly now: number
  /** How many columns there are. */
  readonly width: number
  readonly stream: NodeJS.WriteStream
}

type Stretch = 'published' | 'signs' | 'verifies' | 'revoked'

const strokes: Readonly<
  Record<Stretch, readonly [stroke: string, style: 'dim' | 'green' | 'yellow' | 'red']>
> = {
  published: ['┄', 'dim'],
  signs: ['━', 'green'],
  verifies: ['╍', 'yellow'],
  revoked: ['×', 'red'],
}

const kidWidth = 10
const stateWidth = 8

/** So much of a kid tells it from the others, and is enough for `mintmark key revoke`. */
export function shortKid(kid: string): string {
  return printable(kid).slice(0, 8)
}

/** The keys as lines in time, with one through all of them for now. */
export function drawTimeline({ keys, now, width, stream }: Timeline): string {
  const times = keys
    .flatMap(key => [key.published_at, key.signs_from, key.retires_at, key.gone_at])
    .filter(time => time !== null)
  const from = Math.min(now, ...times)
  const to = Math.max(now + 1, ...times)
  const columns = Math.max(24, width - kidWidth - stateWidth - 6)
  const columnOf = (time: number) =>
    Math.min(columns - 1, Math.floor(((time - from) / (to - from)) * columns))
  const margin = ' '.repeat(kidWidth + stateWidth + 6)

  const lineOf = (key: KeyDocument): string => {
    const cells = Array.from({ length: columns }, () => ' ')
    const { signs_from: signsFrom, retires_at: retiresAt, gone_at: goneAt } = key
    const state = key.state ?? 'next'
    const draw = (stretch: Stretch, start: number | null, end: number | null) => {
      if (start === null || start >= (end ?? to)) return
      const [stroke, style] = strokes[stretch]
      // However short it is, it is seen.
      const last = Math.max(columnOf(start), Math.ceil((((end ?? to) - from) / (to - from)) * columns) - 1)
      cells.fill(styleText(style, stroke, { stream }), columnOf(start), last + 1)
    }
    draw('published', key.published_at, signsFrom ?? goneAt)
    draw('signs', signsFrom, retiresAt)
    draw(state === 'revoked' ? 'revoked' : 'verifies', retiresAt, goneAt)
    cells[columnOf(now)] = '│'
    const name = shortKid(key.kid).padEnd(kidWidth)
    return `    ${name}${state.padEnd(stateWidth)}  ${cells.join('')}`.trimEnd()
  }
  const legend = Object.entries(strokes)
    .filter(([name]) => name !== 'revoked' || keys.some(key => key.revoked_at !== null))
    .map(([name, [stroke, style]]) => `${styleText(style, stroke.repeat(2), { stream })} ${name}`)
  const algs = [...new Set(keys.map(key => key.alg))].sort()
  const dates = [formatTime(from).slice(0, 16), formatTime(to).slice(0, 16)] as const
  const nowAt = columnOf(now)
  const gap = columns - dates[0].length - dates[1].length
  return [
    ...algs.flatMap(alg => [`  ${alg}`, ...keys.filter(key => key.alg === alg).map(lineOf)]),
    `${margin}${' '.repeat(nowAt)}│ now`,
    `${margin}${dates[0]}${' '.repeat(Math.max(1, gap))}${dates[1]}`,
    `${margin}${legend.join('   ')}`,
  ].join('\n')
}

export interface NextStep {
  readonly at: number
  readonly alg: string
  readonly text: string
}

/** The next steps of all keys, in the order of time. */
export function nextSteps(keys: readonly KeyDocument[]): readonly NextStep[] {
  const steps = keys.flatMap(({ kid, alg, state, signs_from, retires_at, gone_at }): NextStep[] => {
    const name = shortKid(kid)
    const step = (at: number | null, text: string) => (at === null ? [] : [{ at, alg, text }])
    const ofState = (wanted: KeyDocument['state']) =>
      keys.find(other => other.alg === alg && other.state === wanted)
    const follower = ofState('next')
    const retires = follower
      ? `${name} retires, ${shortKid(follower.kid)} signs, and another key is published`
      : `${name} retires`
    return [
      ...(state === 'active' ? step(retires_at, retires) : []),
      ...(state === 'next' && !ofState('active')
        ? step(signs_from, `${name} signs, and another key is published`)
        : []),
      ...step(gone_at, `${name} is gone`),
    ]
  })
  return steps.sort((a, b) => a.at - b.at)
}
