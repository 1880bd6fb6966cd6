import { useEffect, useMemo } from 'preact/hooks'
import { api, documentOf, type Counts } from '../api/api.ts'
import { useAnswer } from '../api/use-answer.ts'
import { Chart, type Line } from '../parts/chart.tsx'
import { Section } from '../parts/page.tsx'
import { Reading } from '../parts/reading.tsx'
import { Time } from '../parts/time.tsx'
import { href, query } from '../router.ts'

interface Period {
  readonly title: string
  readonly span: string
  /** How long a row of the table is, in seconds. */
  readonly rowSeconds: number
  /** Of times at the axis and in the table. */
  readonly format: Intl.DateTimeFormat
}

const clock = { hour: '2-digit', minute: '2-digit' } as const
const day = { day: 'numeric', month: 'short' } as const
const moment = new Intl.DateTimeFormat('en-GB', { ...day, ...clock })

const periods: Readonly<Record<Counts['period'], Period>> = {
  hour: {
    title: 'Hour',
    span: 'in this hour',
    rowSeconds: 300,
    format: new Intl.DateTimeFormat('en-GB', clock),
  },
  day: {
    title: 'Day',
    span: 'in 24 hours',
    rowSeconds: 3600,
    format: new Intl.DateTimeFormat('en-GB', clock),
  },
  month: {
    title: 'Month',
    span: 'in 30 days',
    rowSeconds: 86_400,
    format: new Intl.DateTimeFormat('en-GB', day),
  },
}

/** A step is over each minute at the earliest. */
const againMs = 60_000

/** How often things have happened. */
export function Charts() {
  const asked = query.value.get('period') ?? ''
  const period = asked === 'day' || asked === 'month' ? asked : 'hour'
  const read = useAnswer(
    signal => documentOf(api.GET('/admin/v1/counts', { params: { query: { period } }, signal })),
    [period],
  )
  useEffect(() => {
    const timer = setInterval(() => document.visibilityState === 'visible' && read.again(), againMs)
    return () => clearInterval(timer)
  }, [])
  return (
    <Section
      title="How often"
      acts={
        <div class="choices" role="group" aria-label="Period">
          {Object.entries(periods).map(([name, { title }]) => (
            <a
              key={name}
              href={href('/', name === 'hour' ? {} : { period: name })}
              aria-current={name === period ? 'true' : undefined}
            >
              {title}
            </a>
          ))}
        </div>
      }
    >
      <Reading of={read}>{counts => <Drawn counts={counts} />}</Reading>
    </Section>
  )
}

type Numbers = readonly (number | null)[]

const total = (values: Numbers) => values.reduce<number>((sum, value) => sum + (value ?? 0), 0)
const last = (values: Numbers) => values.findLast(value => value !== null) ?? null

/** So many reasons have a line of their own. */
const reasonsMax = 4

function Drawn({ counts }: { readonly counts: Counts }) {
  const { period, from, step_seconds: step, sessions, sessions_counted_at: countedAt } = counts
  const { span, format } = periods[period]
  const drawn = useMemo(() => {
    const times = sessions.map((_, i) => Date.parse(from) / 1000 + i * step)
    const line = (name: string, values: Numbers): Line => ({ name, values })
    const charts = [
      ['Log-ins', [line('Log-ins', counts.log_ins)]],
      ['Refreshes', [line('Refreshes', counts.refreshes)]],
      ['Refused', refusedLines(counts)],
      ['Tokens shown again', [line('Late retries', counts.late_retries), line('Thefts', counts.thefts)]],
    ] as const
    return { times, charts, sessions: [line('Living sessions', sessions)] }
  }, [counts])
  const common = {
    times: drawn.times,
    markText: (seconds: number) => format.format(seconds * 1000),
    stepText: (seconds: number) => moment.format(seconds * 1000),
  }
  return (
    <>
      <div class="charts">
        {drawn.charts.map(([title, lines]) => (
          <Chart key={title} {...common} title={title} lines={lines} sumOf={total} span={span} />
        ))}
        <Chart
          {...common}
          title="Sessions of people"
          lines={drawn.sessions}
          sumOf={last}
          span="last counted"
        />
      </div>
      <p class="quiet">
        All servers together, up to <Time at={counts.until} />. Sessions are counted about once an hour
        {countedAt === null ? (
          ', and were not yet.'
        ) : (
          <>
            : <Time at={countedAt} />.
          </>
        )}
      </p>
      <details>
        <summary>As a table</summary>
        <Table counts={counts} />
      </details>
    </>
  )
}

const whatOf: Readonly<Record<string, string>> = {
  log_in: 'Log-in',
  page: 'Log-in page',
  refresh: 'Refresh',
  other: 'Other grant',
}

/** The most frequent reasons, and the others together. */
function refusedLines({ refusals, log_ins }: Counts): readonly Line[] {
  const lines = refusals.map(({ of, reason, counts }) => ({
    name: `${whatOf[of] ?? of}: ${reason.replaceAll('_', ' ')}`,
    values: counts,
  }))
  if (lines.length === 0) return [{ name: 'Nothing', values: log_ins.map(() => 0) }]
  if (lines.length <= reasonsMax + 1) return lines
  const rest = lines.slice(reasonsMax).map(({ values }) => values)
  return [...lines.slice(0, reasonsMax), { name: 'Others', values: sumOfAll(rest) }]
}

function sumOfAll(rows: readonly Numbers[]): Numbers {
  return (rows[0] ?? []).map((_, i) => total(rows.map(values => values[i] ?? 0)))
}

/** The same in numbers, the latest first. */
function Table({ counts }: { readonly counts: Counts }) {
  const { period, from, step_seconds: step } = counts
  const { rowSeconds, format } = periods[period]
  const size = rowSeconds / step
  const columns = [
    ['Log-ins', counts.log_ins, total],
    ['Refreshes', counts.refreshes, total],
    [
      'Refused',
      sumOfAll([counts.log_ins.map(() => 0), ...counts.refusals.map(({ counts }) => counts)]),
      total,
    ],
    ['Late retries', counts.late_retries, total],
    ['Thefts', counts.thefts, total],
    ['Sessions', counts.sessions, last],
  ] as const
  const rows = Array.from({ length: counts.sessions.length / size }, (_, i) => i * size).reverse()
  return (
    <div class="wide" role="region" aria-label="How often, as a table" tabIndex={0}>
      <table>
        <thead>
          <tr>
            <th scope="col">From</th>
            {columns.map(([name]) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(row => (
            <tr key={row}>
              <th scope="row">{format.format(Date.parse(from) + row * step * 1000)}</th>
              {columns.map(([name, values, sumOf]) => (
                <td key={name}>{sumOf(values.slice(row, row + size))?.toLocaleString('en') ?? '–'}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
