import type { Result } from './run.ts'

const width = 960
const rowHeight = 34
const left = 370
const right = 900

/**
 * The rate of each scenario as a share of a bare Fastify request's in the same run, before that of the floor,
 * with the goals as marks. An SVG file.
 */
export function drawRatios(results: Readonly<Record<string, Result>>): string {
  const rows = Object.values(results).flatMap(({ title, ratios, floorToBare }) =>
    ratios['bare'] ? [{ title, ...ratios['bare'], floor: floorToBare?.rate ?? 0 }] : [],
  )
  const height = 90 + rows.length * rowHeight
  const x = (ratio: number) => Math.round(left + Math.min(ratio, 1) * (right - left))
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="13">`,
    '<title>Requests a second on one core, as a share of a bare Fastify request</title>',
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    '<text x="20" y="22" font-weight="600">Requests a second on one core, as a share of a bare Fastify request in the same run</text>',
    '<text x="20" y="40" fill="#555">light: the floor, without a rule; red: the goal</text>',
    ...[0, 0.25, 0.5, 0.75, 1].flatMap(ratio => [
      `<line x1="${x(ratio)}" y1="46" x2="${x(ratio)}" y2="${height - 34}" stroke="#ddd"/>`,
      `<text x="${x(ratio)}" y="${height - 14}" text-anchor="middle" fill="#555">${ratio}</text>`,
    ]),
    ...rows.flatMap(({ title, rate, goal, floor }, i) => {
      const top = 52 + i * rowHeight
      return [
        `<text x="${left - 12}" y="${top + 17}" text-anchor="end" fill="#222">${title.split(':')[0]}</text>`,
        `<rect x="${left}" y="${top}" width="${x(floor) - left}" height="22" fill="#a9cce3"/>`,
        `<rect x="${left}" y="${top}" width="${x(rate) - left}" height="22" fill="#1f618d"/>`,
        `<text x="${x(Math.max(rate, floor)) + 8}" y="${top + 16}" fill="#222">${rate.toFixed(2)}</text>`,
        goal === undefined
          ? ''
          : `<line x1="${x(goal)}" y1="${top - 3}" x2="${x(goal)}" y2="${top + 25}" stroke="#c0392b" stroke-width="2"/>`,
      ]
    }),
    '</svg>\n',
  ].join('\n')
}
