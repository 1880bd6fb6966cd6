export interface Series {
  readonly name: string
  /** Forced log-outs a session-year over the share of lost answers. */
  readonly logOuts: readonly { readonly x: number; readonly y: number }[]
  /** For each theft, how many generations passed until it was seen, in ascending order. */
  readonly seenAfter: readonly number[]
}

const width = 960
const height = 420
const colours = ['#c0392b', '#d68910', '#7f8c8d', '#1f618d']

/** Two plots side by side, as the text of an SVG file: honest users on the left, thieves on the right. */
export function drawPlot(series: readonly Series[], { leastMeasured }: { leastMeasured: number }): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="13">`,
    `<title>Forced log-outs of honest users, and how long a thief lives, under four policies</title>`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    ...honest(series, leastMeasured),
    ...thieves(series),
    ...legend(series),
    '</svg>\n',
  ].join('\n')
}

interface Frame {
  readonly left: number
  readonly right: number
  readonly top: number
  readonly bottom: number
}

function honest(series: readonly Series[], leastMeasured: number): string[] {
  const frame: Frame = { left: 80, right: 470, top: 60, bottom: 320 }
  const x = logScale([0.0003, 0.05], [frame.left + 12, frame.right - 12])
  const y = logScale([leastMeasured, 1000], [frame.bottom - 24, frame.top])
  const clamp = (value: number) => Math.max(value, leastMeasured)
  const ticks = [0.001, 0.01, 0.1, 1, 10, 100, 1000]
  return [
    ...axes(frame, 'Forced log-outs a session-year', 'answers that are lost'),
    ...ticks.flatMap(value => gridLine(frame, y(value), value.toLocaleString('en-US'))),
    ...[0.0003, 0.001, 0.003, 0.01, 0.05].map(value => xLabel(frame, x(value), `${value * 100} %`)),
    text(frame.left + 8, frame.bottom - 6, `none in ${(1 / leastMeasured).toLocaleString('en-US')} years`, {
      colour: '#555',
    }),
    ...series.map(({ logOuts }, i) => {
      const points = logOuts.map(point => `${round(x(point.x))},${round(y(clamp(point.y)) - overlap(i))}`)
      return polyline(points, i)
    }),
  ]
}

function thieves(series: readonly Series[]): string[] {
  const frame: Frame = { left: 560, right: 935, top: 60, bottom: 320 }
  const generationsMax = 12
  const x = linearScale([0, generationsMax], [frame.left, frame.right])
  const y = linearScale([0, 1], [frame.bottom, frame.top])
  return [
    ...axes(frame, 'Thieves who follow the client and are not yet seen', 'generations since the theft'),
    ...[0, 0.25, 0.5, 0.75, 1].flatMap(value => gridLine(frame, y(value), `${value * 100} %`)),
    ...[0, 2, 4, 6, 8, 10, 12].map(value => xLabel(frame, x(value), String(value))),
    ...series.map(({ seenAfter }, i) => {
      const unseen = (generations: number) =>
        seenAfter.filter(after => after > generations).length / seenAfter.length
      const points: string[] = [`${frame.left},${round(y(1) - overlap(i))}`]
      for (let generation = 1; generation <= generationsMax; generation++) {
        for (const before of [generation - 1, generation]) {
          points.push(`${round(x(generation))},${round(y(unseen(before)) - overlap(i))}`)
        }
      }
      return polyline(points, i)
    }),
  ]
}

/** Lines that would lie on each other are drawn side by side. */
function overlap(i: number): number {
  return i * 3
}

function legend(series: readonly Series[]): string[] {
  return series.flatMap(({ name }, i) => {
    const left = 80 + i * 200
    return [
      `<line x1="${left}" y1="392" x2="${left + 28}" y2="392" stroke="${colours[i]}" stroke-width="3"/>`,
      text(left + 36, 396, name),
    ]
  })
}

function axes({ left, right, top, bottom }: Frame, title: string, label: string): string[] {
  return [
    text(left, top - 24, title, { weight: 600 }),
    text((left + right) / 2, bottom + 44, label, { anchor: 'middle', colour: '#555' }),
    `<line x1="${left}" y1="${bottom}" x2="${right}" y2="${bottom}" stroke="#333"/>`,
  ]
}

function gridLine({ left, right }: Frame, y: number, label: string): string[] {
  return [
    `<line x1="${left}" y1="${round(y)}" x2="${right}" y2="${round(y)}" stroke="#ddd"/>`,
    text(left - 8, y + 4, label, { anchor: 'end', colour: '#555' }),
  ]
}

function xLabel({ bottom }: Frame, x: number, label: string): string {
  return text(x, bottom + 20, label, { anchor: 'middle', colour: '#555' })
}

function polyline(points: readonly string[], i: number): string {
  return `<polyline points="${points.join(' ')}" fill="none" stroke="${colours[i]}" stroke-width="2.5" stroke-linejoin="round"/>`
}

function text(
  x: number,
  y: number,
  content: string,
  { anchor = 'start', weight = 400, colour = '#222' } = {},
): string {
  return `<text x="${round(x)}" y="${round(y)}" text-anchor="${anchor}" font-weight="${weight}" fill="${colour}">${content}</text>`
}

type Scale = (value: number) => number
type Range = readonly [number, number]

function linearScale([from, to]: Range, [start, end]: Range): Scale {
  return value => start + ((value - from) / (to - from)) * (end - start)
}

function logScale([from, to]: Range, pixels: Range): Scale {
  const scale = linearScale([Math.log(from), Math.log(to)], pixels)
  return value => scale(Math.log(value))
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}
