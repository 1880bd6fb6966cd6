import { useEffect, useRef, useState } from 'preact/hooks'

/** A line of a chart, with a number for each step. */
export interface Line {
  readonly name: string
  readonly values: readonly (number | null)[]
}

interface ChartProps {
  readonly title: string
  readonly times: readonly number[]
  readonly lines: readonly Line[]
  /** The time at a mark of the axis. */
  readonly markText: (seconds: number) => string
  /** The time of a step. */
  readonly stepText: (seconds: number) => string
  /** What its numbers come to, where no step is pointed at. */
  readonly sumOf: (values: readonly (number | null)[]) => number | null
  /** What that stands for: `in this hour`. */
  readonly span: string
}

/** Lines over time. Each has its number in the legend: of all, or of the step that is pointed at. */
export function Chart({ title, times, lines, markText, stepText, sumOf, span }: ChartProps) {
  const place = useRef<HTMLDivElement>(null)
  const keys = useRef<HTMLUListElement>(null)
  const [step, setStep] = useState<number>()
  const [isMissing, setMissing] = useState(false)
  useEffect(() => {
    let end: (() => void) | undefined
    let isGone = false
    // Charts are a good part of all code, which other views do without.
    import('./plot.ts').then(
      ({ plot }) => {
        const { current } = place
        const marks = [...(keys.current?.children ?? [])]
        if (isGone || !current) return
        const plotted = lines.flatMap(({ values }, i) => {
          const key = marks[i]
          return key ? [{ values, key }] : []
        })
        end = plot(current, { times, lines: plotted, markText, onPoint: setStep })
      },
      () => setMissing(true),
    )
    return () => {
      isGone = true
      end?.()
    }
  }, [times, lines])
  const at = step === undefined ? undefined : times[step]
  return (
    <figure class="chart">
      <figcaption>
        {title} <span class="quiet">{at === undefined ? span : `at ${stepText(at)}`}</span>
      </figcaption>
      <ul ref={keys} class="keys">
        {lines.map(({ name, values }) => (
          <li key={name}>
            <span>{name}</span>{' '}
            <strong>
              {(step === undefined ? sumOf(values) : (values[step] ?? null))?.toLocaleString('en') ?? '–'}
            </strong>
          </li>
        ))}
      </ul>
      <div class="plot" ref={place} aria-hidden="true" hidden={isMissing} />
      {isMissing && (
        <p class="quiet">
          The lines cannot be drawn: load this page again. The server may have been upgraded.
        </p>
      )}
    </figure>
  )
}
