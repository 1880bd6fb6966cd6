import { styleText } from 'node:util'
import type { SigningKeyTable } from '../../../db/schema.ts'
import type { KeyPlan } from '../../keys/ring/key-life.ts'
import { formatTime, printable } from '../../values/formats.ts'

export interface Timeline {
  readonly rows: readonly SigningKeyTable[]
  readonly plan: ReadonlyMap<string, KeyPlan>
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

/** The rings as lines in time, one for each key, with one through all of them for now. */
export function drawTimeline({ rows, plan, now, width, stream }: Timeline): string {
  const times = rows.flatMap(row => {
    const { signsFrom, retiresAt, goneAt } = plan.get(row.kid) ?? {}
    return [row.published_at, signsFrom, retiresAt, goneAt].filter(time => typeof time === 'number')
  })
  const from = Math.min(now, ...times)
  const to = Math.max(now + 1, ...times)
  const columns = Math.max(24, width - kidWidth - stateWidth - 6)
  const columnOf = (time: number) =>
    Math.min(columns - 1, Math.floor(((time - from) / (to - from)) * columns))
  const margin = ' '.repeat(kidWidth + stateWidth + 6)

  const lineOf = (row: SigningKeyTable): string => {
    const cells = Array.from({ length: columns }, () => ' ')
    const { phase, signsFrom, retiresAt, goneAt } = plan.get(row.kid) ?? { phase: 'next' }
    const draw = (stretch: Stretch, start: number | null | undefined, end: number | null | undefined) => {
      if (typeof start !== 'number' || start >= (end ?? to)) return
      const [stroke, style] = strokes[stretch]
      // However short it is, it is seen.
      const last = Math.max(columnOf(start), Math.ceil((((end ?? to) - from) / (to - from)) * columns) - 1)
      cells.fill(styleText(style, stroke, { stream }), columnOf(start), last + 1)
    }
    draw('published', row.published_at, signsFrom ?? goneAt)
    draw('signs', signsFrom, retiresAt)
    draw(phase === 'revoked' ? 'revoked' : 'verifies', retiresAt, goneAt)
    cells[columnOf(now)] = '│'
    const name = shortKid(row.kid).padEnd(kidWidth)
    return `    ${name}${phase.padEnd(stateWidth)}  ${cells.join('')}`.trimEnd()
  }
  const legend = Object.entries(strokes)
    .filter(([name]) => name !== 'revoked' || rows.some(row => row.revoked_at !== null))
    .map(([name, [stroke, style]]) => `${styleText(style, stroke.repeat(2), { stream })} ${name}`)
  const rings = [...new Set(rows.map(row => row.alg))].sort()
  const dates = [formatTime(from).slice(0, 16), formatTime(to).slice(0, 16)] as const
  const nowAt = columnOf(now)
  const gap = columns - dates[0].length - dates[1].length
  return [
    ...rings.flatMap(alg => [`  ${alg}`, ...rows.filter(row => row.alg === alg).map(lineOf)]),
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

/** What comes next, in the order of time. */
export function nextSteps(
  rows: readonly SigningKeyTable[],
  plan: ReadonlyMap<string, KeyPlan>,
): readonly NextStep[] {
  const steps = rows.flatMap(({ kid, alg }): NextStep[] => {
    const { phase, signsFrom, retiresAt, goneAt } = plan.get(kid) ?? {}
    const name = shortKid(kid)
    const step = (at: number | null | undefined, text: string) =>
      typeof at === 'number' ? [{ at, alg, text }] : []
    const follower = rows.find(row => row.alg === alg && plan.get(row.kid)?.phase === 'next')
    const retires = follower
      ? `${name} retires, ${shortKid(follower.kid)} signs, and another key is published`
      : `${name} retires`
    const hasActive = rows.some(row => row.alg === alg && plan.get(row.kid)?.phase === 'active')
    return [
      ...(phase === 'active' ? step(retiresAt, retires) : []),
      ...(phase === 'next' && !hasActive
        ? step(signsFrom, `${name} signs, and another key is published`)
        : []),
      ...step(goneAt, `${name} is gone`),
    ]
  })
  return steps.sort((a, b) => a.at - b.at)
}
