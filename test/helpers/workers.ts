import { readFileSync } from 'node:fs'
import type { RunningServer } from './cli.ts'

export const twoWorkers = { MINTMARK_WORKERS: '2' }

/** The process ids of the workers of a server, as the system knows them. */
export function workersOf({ process: { pid } }: Pick<RunningServer, 'process'>): readonly number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
  return children.trim().split(' ').filter(Boolean).map(Number)
}

/** Asks on a connection of its own, so that any of the workers answers; one that is killed resets it. */
export async function isReady({ url }: Pick<RunningServer, 'url'>): Promise<boolean> {
  const headers = { connection: 'close' }
  const response = await fetch(`${url}/health/ready`, { headers }).catch(() => undefined)
  return response?.status === 200
}

/** Reads the metrics; the answer adds up all samples whose line begins so. */
export async function readMetrics(port: number): Promise<(beginning: string) => number> {
  const lines = (await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()).split('\n')
  const valueOf = (line: string) => Number(line.slice(line.lastIndexOf(' ')))
  return beginning =>
    lines.filter(line => line.startsWith(beginning)).reduce((sum, line) => sum + valueOf(line), 0)
}
