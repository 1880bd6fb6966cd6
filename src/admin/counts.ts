import { latestCounts, readCounts } from '../../db/installation/counts.ts'
import { momentSeconds } from '../record/count-rows.ts'
import type { Admin } from './admin.ts'

/** The periods of charts, with the steps of each. A step is as long as one of the spans that are counted. */
export const chartPeriods = {
  hour: { stepSeconds: 60, steps: 60 },
  day: { stepSeconds: 600, steps: 144 },
  month: { stepSeconds: 3600, steps: 720 },
} as const

export type ChartPeriod = keyof typeof chartPeriods

/** So long after a minute all servers have written what they have counted in it. */
const writtenSeconds = 5

/**
 * How often things have happened, at all servers together, in the last hour, day or month: a number for each
 * step that is over.
 */
export async function readChart({ db, clock }: Pick<Admin, 'db' | 'clock'>, period: ChartPeriod) {
  const { stepSeconds, steps } = chartPeriods[period]
  const until = Math.floor((clock.now() - writtenSeconds) / stepSeconds) * stepSeconds
  const since = until - steps * stepSeconds
  const series = new Map<string, number[]>()
  const seriesOf = (name: string) => {
    const found = series.get(name) ?? Array<number>(steps).fill(0)
    series.set(name, found)
    return found
  }
  for (const seconds of Object.values(chartPeriods).map(({ stepSeconds }) => stepSeconds)) {
    if (seconds > stepSeconds) continue
    for (const { at, counted } of await readCounts(db, seconds, { since, until })) {
      const step = Math.floor((at - since) / stepSeconds)
      for (const [name, count] of Object.entries(counted)) {
        const numbers = seriesOf(name)
        numbers[step] = (numbers[step] ?? 0) + count
      }
    }
  }
  return {
    period,
    step_seconds: stepSeconds,
    from: since,
    until,
    log_ins: seriesOf('log_ins'),
    refreshes: seriesOf('refreshes'),
    late_retries: seriesOf('late'),
    thefts: seriesOf('thefts'),
    refusals: refusalsOf(series),
    ...(await livingSessions(db, { since, until, stepSeconds, steps })),
  }
}

/** The refusals, by what was asked for and why: those of which there are most first. */
function refusalsOf(series: ReadonlyMap<string, readonly number[]>) {
  const sum = (numbers: readonly number[]) => numbers.reduce((all, number) => all + number, 0)
  return [...series]
    .flatMap(([name, counts]) => {
      const [kind, of = '', reason = ''] = name.split(' ')
      return kind === 'refused' ? [{ of, reason, counts }] : []
    })
    .sort((a, b) => sum(b.counts) - sum(a.counts))
}

/** The sessions of people that lived when the sweeper had last counted them, at the end of each step. */
async function livingSessions(
  db: Admin['db'],
  {
    since,
    until,
    stepSeconds,
    steps,
  }: { readonly since: number; readonly until: number; readonly stepSeconds: number; readonly steps: number },
) {
  const before = await latestCounts(db, momentSeconds, since)
  const counts = [...(before ? [before] : []), ...(await readCounts(db, momentSeconds, { since, until }))]
  const sessions = Array.from({ length: steps }, (_, step) => {
    const last = counts.findLast(({ at }) => at < since + (step + 1) * stepSeconds)
    return last?.counted['sessions'] ?? null
  })
  return { sessions, sessions_counted_at: counts.at(-1)?.at ?? null }
}
