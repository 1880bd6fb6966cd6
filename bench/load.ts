import { openConnection, type Connection, type Incoming } from './connection.ts'

export interface Outgoing {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
}

/** One connection's work: what to send next, and what to make of the answer. */
export interface Caller {
  /** Undefined when there is nothing more to do, which ends its work before the time is up. */
  next(): Outgoing | undefined
  /** Throws when the answer is not the right one: a benchmark of refusals would be worth nothing. */
  answered(status: number, body: string, header: Incoming['header']): void
}

/** A caller that always has more to do. */
export interface EndlessCaller extends Caller {
  next(): Outgoing
}

export interface LoadResult {
  readonly requests: number
  readonly seconds: number
  /** Latencies in milliseconds. */
  readonly p50: number
  readonly p95: number
  readonly p99: number
  /** All of them, sorted. */
  readonly latencies: readonly number[]
  /** What this process took for each request, callers and all. */
  readonly ownCpuMicroseconds: number
}

/**
 * Sends requests over one connection for each caller, to the servers in turn, each as soon as the last one
 * was answered; with `rate`, so many a second in all, each latency measured from when the request was due, so
 * that a stall is not left out.
 */
export async function load(
  urls: string | readonly string[],
  callers: readonly Caller[],
  seconds: number,
  rate?: number,
): Promise<LoadResult> {
  const servers = [urls].flat()
  const connections = await Promise.all(
    callers.map((_, i) => openConnection(servers[i % servers.length] ?? '')),
  )
  const latencies: number[] = []
  const cpu = process.cpuUsage()
  const start = performance.now()
  const end = start + seconds * 1000
  const interval = rate === undefined ? 0 : (1000 * callers.length) / rate
  try {
    await Promise.all(
      callers.map(async (caller, i) => {
        const connection = connections[i] as Connection
        let due = start + (interval * i) / callers.length
        for (;;) {
          if (rate !== undefined) {
            const wait = due - performance.now()
            if (wait > 1) await new Promise(resolve => setTimeout(resolve, wait))
          } else due = performance.now()
          if (due >= end) return
          const outgoing = caller.next()
          if (!outgoing) return
          const { status, body, header } = await connection.send(outgoing)
          caller.answered(status, body, header)
          latencies.push(performance.now() - due)
          due += interval
        }
      }),
    )
  } finally {
    for (const connection of connections) connection.close()
  }
  const { user, system } = process.cpuUsage(cpu)
  latencies.sort((a, b) => a - b)
  const at = (share: number) =>
    latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? 0
  return {
    requests: latencies.length,
    seconds: (performance.now() - start) / 1000,
    p50: at(0.5),
    p95: at(0.95),
    p99: at(0.99),
    latencies,
    ownCpuMicroseconds: (user + system) / latencies.length,
  }
}
