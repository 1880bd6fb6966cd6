import { fillDocument } from './document.ts'

/** The average cost of one refresh, with so many under way at once. Bytes, and microseconds of CPU. */
export interface RefreshCost {
  readonly refreshes_a_second: number
  readonly p50_ms: number
  readonly p99_ms: number
  readonly server_cpu_us: number
  readonly disk_bytes?: number
  readonly postgres_cpu_us?: number
  readonly commits?: number
  readonly rows_updated?: number
  readonly hot_share?: number
  readonly log_bytes?: number
  readonly full_page_images?: number
}

export interface EngineCost {
  readonly bytes_a_session: number
  readonly at_once: Readonly<Record<string, RefreshCost>>
}

export interface Measured {
  readonly machine: {
    readonly cpu: string | undefined
    readonly cores: number
    readonly node: string
    readonly at: string
  }
  /** How many programs wanted a core before the measurement began. */
  readonly busyBefore: number
  readonly sqlite: EngineCost
  readonly postgres: EngineCost
}

/** Writes the tables of docs/scaling.md anew. */
export function writeScaling(measured: Measured): void {
  fillDocument('scaling.md', { cost: costTable(measured), sizing: sizingTable(measured) })
}

function costTable({ machine, busyBefore, sqlite, postgres }: Measured): string {
  const rows = Object.keys(sqlite.at_once).map(connections => {
    const [small, large] = [sqlite.at_once[connections], postgres.at_once[connections]]
    return [
      connections,
      micro(small?.server_cpu_us),
      bytes(small?.disk_bytes),
      micro(large?.server_cpu_us),
      micro(large?.postgres_cpu_us),
      number(large?.rows_updated, 2),
      percent(large?.hot_share),
      number(large?.commits, 2),
      bytes(large?.log_bytes),
      number(large?.full_page_images, 2),
    ]
  })
  const noise =
    busyBefore < 0.5
      ? ''
      : ' Other programs kept the cores busy meanwhile, so the figures for CPU are too high.'
  const head = [
    'at once',
    'SQLite: server CPU',
    'written to disk',
    'PostgreSQL: server CPU',
    'its own CPU',
    'rows',
    'HOT',
    'commits',
    'WAL',
    'full pages in it',
  ]
  return [
    `Measured on ${machine.at.slice(0, 10)}: ${machine.cores} cores of ${machine.cpu ?? 'an unknown CPU'}, Node.js ${machine.node}, everything durable.${noise}`,
    '',
    ...markdown(head, rows),
    '',
    `A session takes ${bytes(sqlite.bytes_a_session)} on SQLite and ${bytes(postgres.bytes_a_session)} on PostgreSQL, with its indexes and the room for its next version.`,
  ].join('\n')
}

/** How often each session is refreshed, and how often PostgreSQL writes each page that has changed. */
const everySeconds = 600
const checkpointSeconds = 900

function sizingTable({ sqlite, postgres }: Measured): string {
  const [small, large] = [sqlite.at_once['64'], postgres.at_once['64']]
  if (!small || !large) throw new Error('unreachable: 64 at once are always measured')
  const cores = (microseconds: number | undefined, rate: number) =>
    number(((microseconds ?? NaN) * rate) / 1e6, 1)
  const rows = [1e6, 10e6, 100e6].map(sessions => {
    const rate = sessions / everySeconds
    return [
      `${sessions / 1e6} million`,
      Math.round(rate).toLocaleString('en-US'),
      ...(fitsOneCore(small.server_cpu_us, rate)
        ? [cores(small.server_cpu_us, rate), `${bytes((small.disk_bytes ?? NaN) * rate)}/s`]
        : ['—', '—']),
      cores(large.server_cpu_us, rate),
      cores(large.postgres_cpu_us, rate),
      `${bytes(logWithoutPages(postgres) * rate)}/s`,
      `${bytes((sessions * postgres.bytes_a_session) / checkpointSeconds)}/s`,
      bytes(sessions * postgres.bytes_a_session),
    ]
  })
  const head = [
    'sessions',
    'refreshes a second',
    'SQLite: busy cores',
    'to disk',
    'PostgreSQL: busy cores of all servers',
    'of PostgreSQL',
    'WAL',
    'and full pages, at most',
    'table',
  ]
  return markdown(head, rows).join('\n')
}

/** The bytes of log without full pages. How much more a run with many pages took gives the bytes of one. */
function logWithoutPages({ at_once }: EngineCost): number {
  const [many, few] = [at_once['1'], at_once['64']]
  const [manyBytes, manyPages] = [many?.log_bytes ?? NaN, many?.full_page_images ?? NaN]
  const [fewBytes, fewPages] = [few?.log_bytes ?? NaN, few?.full_page_images ?? NaN]
  return fewBytes - (fewPages * (manyBytes - fewBytes)) / (manyPages - fewPages)
}

/** SQLite's one process has one thread for all that is not a password. */
const fitsOneCore = (microseconds: number, rate: number) => microseconds * rate < 0.8e6

function markdown(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map(() => '---:')), ...rows.map(line)]
}

function number(value: number | undefined, digits: number): string {
  return (value ?? NaN).toFixed(digits)
}

const micro = (value: number | undefined) => `${number(value, 0)} µs`
const percent = (value: number | undefined) => `${number(100 * (value ?? NaN), 1)} %`

function bytes(value: number | undefined): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let [left, unit] = [value ?? NaN, 0]
  for (; left >= 1000; unit++) left /= 1000
  return `${left.toPrecision(left >= 100 ? 3 : 2)} ${units[unit]}`
}
