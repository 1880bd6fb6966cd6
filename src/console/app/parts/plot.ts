import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'

export interface Plotted {
  /** Seconds since the epoch, of the beginnings of the steps. */
  readonly times: readonly number[]
  readonly lines: readonly PlottedLine[]
  /** The time at a mark of the axis. */
  readonly markText: (seconds: number) => string
  /** Which step is pointed at; undefined for none. */
  readonly onPoint: (step: number | undefined) => void
}

interface PlottedLine {
  readonly values: readonly (number | null)[]
  /** Its colour is that of the text in here. */
  readonly key: Element
}

/** Lines are told apart without their colours too. */
const dashes = [[], [7, 4], [2, 3], [9, 3, 2, 3], [1, 5]]

const compact = new Intl.NumberFormat('en', { notation: 'compact' })

/** Whole numbers alone stand at the axis. */
const steps = [1, 2, 5].flatMap(digit => Array.from({ length: 12 }, (_, power) => digit * 10 ** power))

/** Draws lines over time into a place, as wide as that is. Returns what ends it. */
export function plot(place: HTMLElement, { times, lines, markText, onPoint }: Plotted): () => void {
  const color = (name: string) => () => getComputedStyle(place).getPropertyValue(name)
  const colorOf = (key: Element) => () => getComputedStyle(key).color
  const axis = {
    stroke: color('--quiet'),
    font: '12px system-ui, sans-serif',
    grid: { stroke: color('--line'), width: 1 },
    ticks: { show: false },
  }
  const drawn = new uPlot(
    {
      width: place.clientWidth,
      height: place.clientHeight,
      // All charts show the same moment.
      cursor: { sync: { key: 'charts' }, drag: { x: false, y: false }, y: false },
      legend: { show: false },
      scales: { y: { range: (_, _min, max) => [0, Math.max(4, max * 1.1)] } },
      axes: [
        { ...axis, space: 64, size: 28, values: (_, marks) => marks.map(markText) },
        {
          ...axis,
          space: 28,
          size: 44,
          incrs: steps.sort((a, b) => a - b),
          values: (_, marks) => marks.map(mark => compact.format(mark)),
        },
      ],
      series: [
        {},
        ...lines.map(({ key }, i) => ({
          stroke: colorOf(key),
          width: 2,
          dash: dashes[i % dashes.length] ?? [],
          points: { show: false },
        })),
      ],
      hooks: { setCursor: [({ cursor }) => onPoint(cursor.idx ?? undefined)] },
    },
    [[...times], ...lines.map(({ values }) => [...values])],
    place,
  )
  const size = new ResizeObserver(() =>
    drawn.setSize({ width: place.clientWidth, height: place.clientHeight }),
  )
  size.observe(place)
  const scheme = matchMedia('(prefers-color-scheme: dark)')
  const redraw = () => drawn.redraw()
  scheme.addEventListener('change', redraw)
  return () => {
    size.disconnect()
    scheme.removeEventListener('change', redraw)
    drawn.destroy()
  }
}
